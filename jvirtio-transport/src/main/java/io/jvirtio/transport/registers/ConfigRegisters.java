// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.registers;

import io.jvirtio.device.ConfigSpace;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.spec.Struct;

/**
 * The device configuration space by accesses of 1 to 8 bytes (virtio 1.4, Device Configuration
 * Space; PCI Device Layout). Thread-safe.
 */
final class ConfigRegisters {
  private final DeviceCore core;
  private final ConfigSpace config;
  private final ConfigOrder bigEndian;

  /** With a big-endian order for the legacy interface, or not. */
  ConfigRegisters(DeviceCore core, boolean bigEndian) {
    this.core = core;
    this.config = core.host.config();
    this.bigEndian = bigEndian ? new ConfigOrder(config) : null;
  }

  boolean isBigEndian() {
    return bigEndian != null;
  }

  /** Reads; zeros behind the end. */
  long read(long offset, int width, boolean legacy) {
    if (offset < 0 || offset >= config.size()) {
      core.counters.ignoredRead();
      return 0;
    }
    byte[] bytes = new byte[(int) Math.min(width, config.size() - offset)];
    get((int) offset, bytes, legacy);
    long value = 0;
    for (int i = 0; i < bytes.length; i++) {
      value |= (bytes[i] & 0xffL) << (8 * i);
    }
    return value;
  }

  /**
   * Writes. On the legacy interface any part of any fields; else a field, an element of an array,
   * or half of one of 64 bits. What is not writable stays as it is and is counted.
   */
  void write(long offset, int width, long value, boolean legacy) {
    if (core.resetting) { // which may hold the lock for long
      core.counters.ignoredWrite();
      return;
    }
    byte[] bytes = new byte[width];
    for (int i = 0; i < width; i++) {
      bytes[i] = (byte) (value >>> (8 * i));
    }
    synchronized (core.lock) {
      boolean hit = false;
      if (!core.resetting && offset >= 0 && offset < config.size()) {
        for (Struct.Field field : config.struct().fields()) {
          boolean touched =
              field.offset() < offset + width && field.offset() + field.size() > offset;
          if (touched && (legacy || isNatural(field, offset, width))) {
            hit = true;
            core.guarded("configuration", () -> patch(field, (int) offset, bytes, legacy));
          }
        }
      }
      if (!hit) {
        core.counters.ignoredWrite();
      }
    }
  }

  private static boolean isNatural(Struct.Field field, long offset, int width) {
    long within = offset - field.offset();
    int element = field.type().size();
    return within >= 0
        && within + width <= field.size()
        && within % width == 0
        && (width == element || width == 4 && element == 8);
  }

  private void patch(Struct.Field field, int offset, byte[] source, boolean legacy)
      throws PeerFault {
    byte[] whole = new byte[field.size()];
    get(field.offset(), whole, legacy);
    for (int i = 0; i < source.length; i++) {
      int at = offset + i - field.offset();
      if (at >= 0 && at < whole.length) {
        whole[at] = source[i];
      }
    }
    if (legacy && bigEndian != null) {
      bigEndian.write(field.offset(), whole);
    } else {
      core.host.writeConfig(field.offset(), whole);
    }
  }

  private void get(int offset, byte[] target, boolean legacy) {
    if (legacy && bigEndian != null) {
      bigEndian.read(offset, target);
    } else {
      config.read(offset, target);
    }
  }
}
