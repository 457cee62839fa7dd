// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport;

import io.jvirtio.spec.DeviceType;
import io.jvirtio.spec.Struct;
import java.io.IOException;

/**
 * Reads and writes the device configuration space in the widths that the specification asks for:
 * each field in its own, one of 64 bits as two of 32 (virtio 1.4, PCI Device Layout, Driver
 * Requirements; MMIO Device Register Layout, Driver Requirements). The legacy interface is read
 * byte by byte, which is right in any byte order. Thread-safe.
 */
final class ConfigAccess {
  private static final int WIDEST = 4;

  private final DriverRegisters registers;

  /** By offset: the width of the field element that starts there, 0 where none does. */
  private final byte[] widths;

  ConfigAccess(DriverRegisters registers) {
    this.registers = registers;
    DeviceType type = DeviceType.of(registers.deviceId());
    Struct struct = type == null ? Struct.EMPTY : type.config();
    widths = new byte[struct.size()];
    for (Struct.Field field : struct.fields()) {
      int size = field.type().size();
      for (int at = 0; at < field.size(); at += size) {
        widths[field.offset() + at] = (byte) size;
      }
    }
  }

  void read(int offset, byte[] target) throws IOException {
    check(offset, target.length);
    int at = 0;
    while (at < target.length) {
      int width = registers.isLegacy() ? 1 : width(offset + at, target.length - at, target.length);
      long value = registers.readConfig(offset + at, width);
      for (int i = 0; i < width; i++) {
        target[at + i] = (byte) (value >>> (8 * i));
      }
      at += width;
    }
  }

  void write(int offset, byte[] source) throws IOException {
    check(offset, source.length);
    int at = 0;
    while (at < source.length) {
      int width = width(offset + at, source.length - at, source.length);
      long value = 0;
      for (int i = 0; i < width; i++) {
        value |= (source[at + i] & 0xffL) << (8 * i);
      }
      registers.writeConfig(offset + at, width, value);
      at += width;
    }
  }

  private void check(int offset, int length) throws IOException {
    int size = registers.configSize();
    if (offset < 0 || offset > size - length) {
      throw new DeviceAnswerException(
          registers.name()
              + " has no configuration of "
              + length
              + " bytes at "
              + offset
              + ", but "
              + size
              + " bytes of it");
    }
  }

  /**
   * @param left bytes from there to the end of what is asked for
   * @param whole bytes that were asked for at once: taken for one field where none is known
   */
  private int width(int offset, int left, int whole) {
    int unknown = Integer.bitCount(whole) == 1 && whole <= 2 * WIDEST ? whole : 1;
    int width = Math.min(offset < widths.length ? widths[offset] : unknown, WIDEST);
    boolean sane = width > 0 && Integer.bitCount(width) == 1 && width <= left;
    return sane && offset % width == 0 ? width : inner(offset, left);
  }

  /** The upper half of a field of 64 bits starts no field, but is to be accessed whole. */
  private int inner(int offset, int left) {
    int start = offset - WIDEST;
    boolean half = start >= 0 && start < widths.length && widths[start] > WIDEST;
    return half && left >= WIDEST && offset % WIDEST == 0 ? WIDEST : 1;
  }
}
