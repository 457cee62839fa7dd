// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.linux;

/** What an open descriptor is, as {@code stat} tells. */
public enum FileType {
  /** A regular file or a memfd. */
  REGULAR(0x8000),

  /** A directory. */
  DIRECTORY(0x4000),

  /** A block device. */
  BLOCK_DEVICE(0x6000),

  /** A character device. */
  CHARACTER_DEVICE(0x2000),

  /** A socket. */
  SOCKET(0xc000),

  /** A pipe. */
  PIPE(0x1000),

  /** Anything else, such as an eventfd. */
  OTHER(0);

  private static final int S_IFMT = 0xf000;

  private final int bits;

  FileType(int bits) {
    this.bits = bits;
  }

  /** The type in the mode of a stat structure. */
  static FileType of(int mode) {
    for (FileType type : values()) {
      if (type.bits == (mode & S_IFMT)) {
        return type;
      }
    }
    return OTHER;
  }
}
