// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.registers;

import io.jvirtio.device.ConfigSpace;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.spec.Struct;

/**
 * The configuration space as a big-endian driver of the legacy interface sees it (virtio 1.4,
 * Legacy Interface: A Note on Device Configuration Space endian-ness): every field in the driver's
 * byte order. Thread-safe.
 */
public final class ConfigOrder {
  private final ConfigSpace config;

  /** By the position of a byte in one order, its position in the other. */
  private final int[] mirror;

  /** The other order of this configuration space. */
  public ConfigOrder(ConfigSpace config) {
    this.config = config;
    this.mirror = new int[config.size()];
    for (Struct.Field field : config.struct().fields()) {
      int size = field.type().size();
      for (int i = 0; i < field.size(); i++) {
        mirror[field.offset() + i] = field.offset() + i / size * size + size - 1 - i % size;
      }
    }
  }

  /** Reads, inside the configuration space only. */
  public void read(int offset, byte[] target) {
    byte[] all = new byte[mirror.length];
    config.read(0, all);
    for (int i = 0; i < target.length; i++) {
      target[i] = all[mirror[offset + i]];
    }
  }

  /** Writes a field, whole; else as {@link ConfigSpace#write}. */
  public void write(int offset, byte[] source) throws PeerFault {
    byte[] swapped = source.clone();
    for (int i = 0; i < source.length; i++) {
      int at = offset + i;
      int to = at >= 0 && at < mirror.length ? mirror[at] - offset : -1;
      if (to < 0 || to >= source.length) {
        // No whole field: for the configuration space to refuse.
        config.write(offset, source);
        return;
      }
      swapped[to] = source[i];
    }
    config.write(offset, swapped);
  }
}
