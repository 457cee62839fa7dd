// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.qtest;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/** A machine with PCI as far as an enumeration sees it, RAM in a file, and registers elsewhere. */
final class FakePci implements FakeQemu.Script {
  static final int RAM_BYTES = 4 << 20;

  /** One function. */
  static final class Function {
    final ByteBuffer config = ByteBuffer.allocate(256).order(ByteOrder.LITTLE_ENDIAN);

    /** Bits that can be written, of each BAR. */
    final int[] masks = new int[6];

    Function(int vendor, int device) {
      config.putShort(0, (short) vendor).putShort(2, (short) device);
    }

    /** A BAR with its flags; wide ones take two. */
    Function bar(int index, long size, int flags) {
      config.putInt(0x10 + 4 * index, flags);
      masks[index] = (int) -size;
      if ((flags & 6) == 4) {
        masks[index + 1] = (int) (-size >> 32);
      }
      return this;
    }

    /** MSI-X with so many vectors, its table at the start of a BAR. */
    Function msix(int vectors, int bar, int offset) {
      config.putShort(6, (short) 0x10).put(0x34, (byte) 0x40);
      config.put(0x40, (byte) 0x11).put(0x41, (byte) 0x50);
      config.putShort(0x42, (short) (vectors - 1)).putInt(0x44, offset | bar);
      // A common configuration, and then in a circle.
      config.putInt(0x50, 0x01_10_40_09);
      return this;
    }

    private void write(int offset, int width, long value) {
      for (int i = 0; i < width; i++) {
        int at = offset + i;
        int old = config.get(at);
        int next = (int) (value >>> 8 * i) & 0xff;
        boolean bridge = (config.get(0x0e) & 0x7f) == 1;
        if (at >= 0x10 && at < (bridge ? 0x18 : 0x28)) {
          int mask = masks[(at - 0x10) / 4] >>> 8 * (at & 3);
          next = next & mask | old & ~mask;
        } else if (at < 4 || at >= 6 && at < 0x10) {
          next = old;
        }
        config.put(at, (byte) next);
      }
    }
  }

  /** By address; those behind a bridge by the number that its bus will get. */
  final Map<PciAddress, Function> functions = new LinkedHashMap<>();

  final List<String> requests = Collections.synchronizedList(new ArrayList<>());

  /** What was written to addresses that are not RAM, by address. */
  final Map<Long, Long> registers = new ConcurrentHashMap<>();

  final Path ram;
  private final ByteBuffer memory;
  private long selected;

  FakePci(Path folder) throws IOException {
    ram = folder.resolve("ram");
    try (FileChannel file =
        FileChannel.open(
            ram,
            StandardOpenOption.CREATE_NEW,
            StandardOpenOption.READ,
            StandardOpenOption.WRITE)) {
      memory =
          file.map(FileChannel.MapMode.READ_WRITE, 0, RAM_BYTES).order(ByteOrder.LITTLE_ENDIAN);
    }
  }

  Function add(int bus, int device, Function function) {
    functions.put(new PciAddress(bus, device, 0), function);
    return function;
  }

  /** Adds a bridge. */
  Function bridge(int bus, int device) {
    Function bridge = new Function(0x1b36, 0xc);
    bridge.config.put(0x0e, (byte) 1);
    return add(bus, device, bridge);
  }

  private Function selected() {
    int bus = (int) (selected >> 16) & 0xff;
    boolean reached =
        bus == 0
            || functions.values().stream()
                .anyMatch(f -> f.config.get(0x0e) == 1 && f.config.get(0x19) == bus);
    return reached
        ? functions.get(new PciAddress(bus, (int) (selected >> 11) & 31, (int) (selected >> 8) & 7))
        : null;
  }

  @Override
  public synchronized String answer(String line) {
    requests.add(line);
    String[] words = line.split(" ");
    if (words[0].equals("endianness")) {
      return null;
    }
    if (words[0].equals("irq_intercept_in")) {
      return "OK\n";
    }
    int width = 1 << "bwlq".indexOf(words[0].charAt(words[0].length() - 1));
    long address = Long.parseUnsignedLong(words[1].substring(2), 16);
    long value = words.length > 2 ? Long.parseUnsignedLong(words[2].substring(2), 16) : 0;
    return switch (words[0].substring(0, words[0].length() - 1)) {
      case "out" -> out((int) address, width, value);
      case "in" -> in((int) address, width);
      case "write" -> write(address, width, value);
      case "read" -> read(address, width);
      default -> "FAIL Unknown command\n";
    };
  }

  private String out(int port, int width, long value) {
    if (port == 0xcf8) {
      selected = value;
    } else if (port >= 0xcfc && port < 0xd00 && selected() != null) {
      selected().write((int) (selected & 0xfc) + port - 0xcfc, width, value);
    } else {
      registers.put((long) port, value);
    }
    return "OK\n";
  }

  private String in(int port, int width) {
    long value = (1L << 8 * width) - 1;
    if (port >= 0xcfc && port < 0xd00 && selected() != null) {
      int at = (int) (selected & 0xfc) + port - 0xcfc;
      value &= selected().config.getInt(at & ~3) >>> 8 * (at & 3);
    } else if (port < 0xcf8 || port >= 0xd00) {
      value &= registers.getOrDefault((long) port, 0L);
    }
    return String.format("OK 0x%04x\n", value);
  }

  private String write(long address, int width, long value) {
    if (address <= RAM_BYTES - 8) {
      if (width == 8) {
        memory.putLong((int) address, value);
      } else {
        memory.putInt((int) address, (int) value);
      }
    } else {
      registers.put(address, value);
    }
    return "OK\n";
  }

  private String read(long address, int width) {
    long value = registers.getOrDefault(address, 0L);
    return String.format("OK 0x%016x\n", width == 8 ? value : value & (1L << 8 * width) - 1);
  }
}
