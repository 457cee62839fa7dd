// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.linux;

/** How {@link RawFile#open} opens a file. O_CLOEXEC is always set. */
public enum OpenFlag {
  /** For reading only. */
  READ_ONLY(0),

  /** For reading and writing. */
  READ_WRITE(2),

  /** Creates the file, with mode 0666 less the umask, when it is not there. */
  CREATE(0x40),

  /** With {@link #CREATE}: fails when the file is there. */
  EXCLUSIVE(0x80),

  /** Cuts the file to length 0. */
  TRUNCATE(0x200),

  /**
   * Past the page cache: addresses, offsets and lengths must be aligned, see {@link FileStatus}.
   */
  DIRECT(SystemCall.X86_64 ? 0x4000 : 0x10000),

  /** A write returns when its data, and what is needed to read it again, are on the medium. */
  DATA_SYNC(0x1000);

  /** For descriptors that never block. */
  static final int O_NONBLOCK = 0x800;

  /** Set in every open call of this module. */
  static final int O_CLOEXEC = 0x80000;

  private final int bits;

  OpenFlag(int bits) {
    this.bits = bits;
  }

  /** The kernel's bits on this machine. */
  int bits() {
    return bits;
  }
}
