// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli.boot;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;

/**
 * Writes a cpio archive of the format newc, as the Linux kernel takes it for an initramfs. Not
 * thread-safe.
 */
final class CpioWriter implements AutoCloseable {
  private static final int ALIGNMENT = 4;
  private static final int DIRECTORY = 0040000;
  private static final int REGULAR = 0100000;
  private static final int CHARACTER_DEVICE = 0020000;

  private final OutputStream out;
  private long position;
  private int inode;

  /**
   * A new archive.
   *
   * @param out closed by {@link #close}
   */
  CpioWriter(OutputStream out) {
    this.out = out;
  }

  /** A directory, whose parents must be there already. */
  void directory(String name) throws IOException {
    entry(name, DIRECTORY | 0755, 2, 0, 0, new byte[0]);
  }

  /**
   * A file.
   *
   * @param permissions such as 0755
   */
  void file(String name, int permissions, byte[] content) throws IOException {
    entry(name, REGULAR | permissions, 1, 0, 0, content);
  }

  /** The node of a character device: the kernel opens {@code dev/console} before init runs. */
  void characterDevice(String name, int major, int minor) throws IOException {
    entry(name, CHARACTER_DEVICE | 0600, 1, major, minor, new byte[0]);
  }

  private void entry(String name, int mode, int links, int major, int minor, byte[] content)
      throws IOException {
    byte[] nameBytes = name.getBytes(StandardCharsets.UTF_8);
    int[] fields = {
      ++inode, mode, 0, 0, links, 0, content.length, 0, 0, major, minor, nameBytes.length + 1, 0
    };
    StringBuilder header = new StringBuilder("070701");
    for (int field : fields) {
      header.append(String.format("%08X", field));
    }
    write(header.toString().getBytes(StandardCharsets.US_ASCII));
    write(nameBytes);
    write(new byte[1]);
    pad();
    write(content);
    pad();
  }

  private void pad() throws IOException {
    write(new byte[(int) (-position & (ALIGNMENT - 1))]);
  }

  private void write(byte[] bytes) throws IOException {
    out.write(bytes);
    position += bytes.length;
  }

  /** Writes the end of the archive. */
  @Override
  public void close() throws IOException {
    try (out) {
      entry("TRAILER!!!", 0, 1, 0, 0, new byte[0]);
    }
  }
}
