// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.qtest;

import io.jvirtio.memory.DriverMemory;
import io.jvirtio.transport.RegisterWindow;
import io.jvirtio.transport.mmio.MmioAccess;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;

/**
 * One virtio-mmio device of a microvm.
 *
 * <p>A microvm with 8 of them has their interrupts on the I/O APIC that QEMU tells of, from input 5
 * on without ACPI and from 16 on with it; one with 24 has them on a second, which QEMU gives no
 * name to: the interrupt status is polled then.
 */
final class QtestMmio implements MmioAccess {
  static final long BASE = 0xfeb0_0000L;
  static final int SIZE = 0x200;
  static final int MOST = 24;

  private static final int MAGIC_VALUE = 0;
  private static final int VERSION = 4;
  private static final int DEVICE_ID = 8;
  private static final int INTERRUPT_STATUS = 0x60;
  private static final long MAGIC = 0x7472_6976L;
  private static final int FEW = 8;
  private static final String CONTROLLER = "/machine/ioapic";

  /**
   * A place that devices may be at.
   *
   * @param index from 0
   * @param version 1 or 2
   * @param deviceId 0 for none
   * @param count how many places the machine has
   */
  record Place(int index, int version, int deviceId, int count) {
    long address() {
      return BASE + (long) index * SIZE;
    }

    String name() {
      return "mmio@0x" + Long.toHexString(address());
    }
  }

  private final QtestMachine machine;
  private final Place place;
  private final RegisterWindow registers;
  private final List<QtestInterrupts.Source> sources = new ArrayList<>();
  private boolean closed;

  QtestMmio(QtestMachine machine, Place place) {
    this.machine = machine;
    this.place = place;
    this.registers = machine.window(false, place.address(), SIZE);
  }

  /** All places with a device. */
  static List<Place> scan(QtestSession session) throws IOException {
    List<int[]> seen = new ArrayList<>();
    int count = 0;
    for (int i = 0; i < MOST; i++) {
      long at = BASE + (long) i * SIZE;
      if (session.read(at + MAGIC_VALUE, 4) != MAGIC) {
        break;
      }
      count++;
      long version = session.read(at + VERSION, 4);
      long id = session.read(at + DEVICE_ID, 4);
      if (id > 0 && id < 0x1_0000 && (version == 1 || version == 2)) {
        seen.add(new int[] {i, (int) version, (int) id});
      }
    }
    List<Place> places = new ArrayList<>();
    for (int[] one : seen) {
      places.add(new Place(one[0], one[1], one[2], count));
    }
    return places;
  }

  @Override
  public String name() {
    return place.name();
  }

  @Override
  public RegisterWindow registers() {
    return registers;
  }

  @Override
  public DriverMemory memory() {
    return machine.memory();
  }

  @Override
  public synchronized void enableInterrupt(Runnable handler) throws IOException {
    if (closed) {
      throw new IOException(name() + " is closed");
    }
    disableInterrupt();
    QtestInterrupts interrupts = machine.interrupts();
    if (place.count() > FEW) {
      sources.add(interrupts.addPoll(() -> registers.read(INTERRUPT_STATUS, 4) != 0, handler));
      return;
    }
    interrupts.intercept(CONTROLLER);
    // The two never mean different devices: the first end at 12.
    sources.add(interrupts.addLine(handler, 5 + place.index(), 16 + place.index()));
  }

  @Override
  public synchronized void disableInterrupt() {
    machine.interrupts().remove(sources);
    sources.clear();
  }

  @Override
  public synchronized void close() {
    if (!closed) {
      disableInterrupt();
      closed = true;
      machine.closed(name());
    }
  }

  @Override
  public String toString() {
    return name() + " of " + machine;
  }
}
