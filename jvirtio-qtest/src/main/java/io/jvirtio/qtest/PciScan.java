// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.qtest;

import io.jvirtio.qtest.PciSlot.Bar;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;

/**
 * What firmware would do: numbers the buses, finds the virtio functions, gives their BARs
 * addresses, and lets the bridges above them through. Other devices are left alone. Everything that
 * a register says is bounded, whatever it says: buses by their number, addresses by the room there
 * is.
 */
final class PciScan {
  private static final int VIRTIO_VENDOR = 0x1af4;
  private static final int VIRTIO_FIRST = 0x1000;
  private static final int VIRTIO_LAST = 0x107f;
  private static final int LAST_BUS = 255;
  private static final int NO_VENDOR = 0xffff;

  /** Addresses that go only up. */
  private static final class Room {
    private final long end;
    private long next;

    Room(long start, long end) {
      this.next = start;
      this.end = end;
    }

    /** A place for so many bytes, aligned to them; 0 when there is none. */
    long take(long bytes) {
      long start = next + bytes - 1 & -bytes;
      if (start < next || start >= end || bytes > end - start) {
        return 0;
      }
      next = start + bytes;
      return start;
    }

    /** Begins at a multiple from now on. */
    long align(long unit) {
      next = Math.min(end, next + unit - 1 & -unit);
      return next;
    }
  }

  // Between the RAM of any pc or q35 and their interrupt controllers.
  private final Room memory = new Room(0xe000_0000L, 0xfc00_0000L);
  private final Room ports = new Room(0xc000, 0x1_0000);
  private final ConfigPorts config;
  private final List<PciSlot> found = new ArrayList<>();
  private int lastBus;

  private PciScan(ConfigPorts config) {
    this.config = config;
  }

  /** All virtio functions; none where there is no PCI. */
  static List<PciSlot> run(ConfigPorts config) throws IOException {
    PciScan scan = new PciScan(config);
    scan.bus(0, List.of());
    return List.copyOf(scan.found);
  }

  private void bus(int bus, List<Integer> above) throws IOException {
    for (int device = 0; device < 32; device++) {
      PciAddress first = new PciAddress(bus, device, 0);
      if (vendor(first) == NO_VENDOR) {
        continue;
      }
      long type = config.read(first, PciRegisters.HEADER_TYPE, 1);
      int functions = (type & PciRegisters.HEADER_MULTIFUNCTION) != 0 ? 8 : 1;
      List<Integer> way = new ArrayList<>(List.of(device));
      way.addAll(above);
      for (int function = 0; function < functions; function++) {
        PciAddress address = new PciAddress(bus, device, function);
        if (vendor(address) != NO_VENDOR) {
          function(address, way);
        }
      }
    }
  }

  private int vendor(PciAddress address) throws IOException {
    return (int) config.read(address, PciRegisters.VENDOR, 2);
  }

  private void function(PciAddress address, List<Integer> way) throws IOException {
    long type = config.read(address, PciRegisters.HEADER_TYPE, 1);
    int vendor = vendor(address);
    int device = (int) config.read(address, PciRegisters.DEVICE, 2);
    if ((type & 0x7f) == PciRegisters.HEADER_BRIDGE) {
      bridge(address, way);
    } else if (vendor == VIRTIO_VENDOR && device >= VIRTIO_FIRST && device <= VIRTIO_LAST) {
      // Nothing decodes while its address is not settled.
      config.write(address, PciRegisters.COMMAND, 2, PciRegisters.COMMAND_INTX_OFF);
      found.add(new PciSlot(address, vendor, device, bars(address, 6), way));
    }
  }

  private void bridge(PciAddress address, List<Integer> way) throws IOException {
    config.write(address, PciRegisters.COMMAND, 2, PciRegisters.COMMAND_INTX_OFF);
    bars(address, 2);
    if (lastBus == LAST_BUS) {
      return;
    }
    int secondary = ++lastBus;
    long firstMemory = memory.align(1 << 20);
    long firstPort = ports.align(1 << 12);
    buses(address, secondary, LAST_BUS);
    bus(secondary, way);
    buses(address, secondary, lastBus);
    long endOfMemory = memory.align(1 << 20);
    long endOfPorts = ports.align(1 << 12);
    // A window whose base is above its limit is closed.
    long io = firstPort == endOfPorts ? 0x00f0 : firstPort >> 8 | endOfPorts - 1 & 0xf000;
    config.write(address, PciRegisters.BRIDGE_IO, 2, io);
    config.write(address, PciRegisters.BRIDGE_IO_UPPER, 4, 0);
    long window =
        firstMemory == endOfMemory
            ? 0x0000_fff0L
            : firstMemory >> 16 | endOfMemory - 1 & 0xfff0_0000L;
    config.write(address, PciRegisters.BRIDGE_MEMORY, 4, window);
    // Prefetchable BARs lie in the other window, where they may.
    config.write(address, PciRegisters.BRIDGE_PREFETCHABLE, 4, 0x0000_fff0L);
    config.write(address, PciRegisters.BRIDGE_PREFETCHABLE_UPPER, 8, 0);
    int command =
        PciRegisters.COMMAND_IO | PciRegisters.COMMAND_MEMORY | PciRegisters.COMMAND_MASTER;
    config.write(address, PciRegisters.COMMAND, 2, command);
  }

  private void buses(PciAddress bridge, int secondary, int subordinate) throws IOException {
    long value = bridge.bus() | secondary << 8 | subordinate << 16;
    config.write(bridge, PciRegisters.BRIDGE_BUSES, 4, value);
  }

  private List<Bar> bars(PciAddress address, int count) throws IOException {
    List<Bar> bars = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      int register = PciRegisters.BAR + 4 * i;
      config.write(address, register, 4, 0xffff_ffffL);
      long low = config.read(address, register, 4);
      boolean io = (low & 1) != 0;
      boolean wide = !io && (low & 6) == 4 && i + 1 < count;
      long mask = io ? low & 0xfffc : low & 0xffff_fff0L;
      if (wide) {
        config.write(address, register + 4, 4, 0xffff_ffffL);
        mask |= config.read(address, register + 4, 4) << 32;
      }
      long size = Long.lowestOneBit(mask);
      long base = size <= 0 ? 0 : (io ? ports : memory).take(size);
      config.write(address, register, 4, base);
      if (wide) {
        config.write(address, register + 4, 4, base >>> 32);
      }
      if (size > 0) {
        bars.add(new Bar(i, io, base, size));
      }
      i += wide ? 1 : 0;
    }
    return bars;
  }
}
