// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.qtest;

import java.util.List;

/**
 * A function that the scan has found and given addresses. Immutable.
 *
 * @param address where it is
 * @param vendor vendor id
 * @param device device id
 * @param bars those that it has; an upper half is none
 * @param way the device numbers from it up to bus 0, its own first: each bridge turns the interrupt
 *     pin by the number of the device below it
 */
record PciSlot(PciAddress address, int vendor, int device, List<Bar> bars, List<Integer> way) {
  /**
   * A base address register.
   *
   * @param index 0 to 5
   * @param io whether of I/O ports rather than of memory
   * @param base the address it was given, 0 when there was no room
   * @param size bytes, a power of two
   */
  record Bar(int index, boolean io, long base, long size) {}

  PciSlot {
    bars = List.copyOf(bars);
    way = List.copyOf(way);
  }

  /** The BAR of a number, or null. */
  Bar bar(int index) {
    return bars.stream().filter(bar -> bar.index() == index).findFirst().orElse(null);
  }

  /** The pin of bus 0 that a pin of this function ends at, both 0 to 3. */
  int rootPin(int pin) {
    int turned = pin;
    for (int device : way.subList(0, way.size() - 1)) {
      turned += device;
    }
    return turned & 3;
  }

  /** The device number on bus 0. */
  int rootDevice() {
    return way.getLast();
  }
}
