// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.qtest;

import io.jvirtio.memory.DriverMemory;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.channels.FileChannel;
import java.nio.channels.FileChannel.MapMode;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/**
 * RAM of a machine, mapped from the file that QEMU keeps it in ({@code -object
 * memory-backend-file,share=on,mem-path=FILE} as the machine's memory-backend).
 *
 * <p>It is one region, from 1 MiB to the end of the file or to 2 GiB: whatever its size, a pc, q35
 * or microvm has its RAM there at the same address as in the file; what does not fit below the hole
 * for devices lies elsewhere. There is no more when it is used up.
 *
 * <p>The mapping goes with the last segment of it. Whoever makes the file shorter meanwhile causes
 * an {@link InternalError} where it is touched. Thread-safe.
 */
public final class QtestMemory extends DriverMemory {
  private static final long START = 1 << 20;
  private static final long LIMIT = 2L << 30;
  private static final long PAGE = 4096;
  private static final ValueLayout.OfLong WORD = ValueLayout.JAVA_LONG;
  private static final long MAGIC = 0x6a76_6972_7469_6f00L;

  private final Path file;
  private final MemorySegment segment;

  private QtestMemory(Path file, MemorySegment segment) {
    this.file = file;
    this.segment = segment;
  }

  /**
   * Maps the file, and asks QEMU whether it is its RAM.
   *
   * @throws IOException when it cannot be mapped, has no more than the first MiB, or QEMU sees
   *     something else at the same addresses
   */
  public static QtestMemory open(QtestSession session, Path file) throws IOException {
    if (!Files.isRegularFile(file)) {
      throw new IOException(file + " is no regular file");
    }
    MemorySegment segment;
    try (FileChannel channel =
        FileChannel.open(file, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
      long size = Math.min(channel.size(), LIMIT) & -PAGE;
      if (size <= START) {
        throw new IOException(file + " has no RAM above the first MiB");
      }
      segment = channel.map(MapMode.READ_WRITE, START, size - START, Arena.ofAuto());
    }
    QtestMemory memory = new QtestMemory(file, segment);
    memory.compare(session, 0);
    memory.compare(session, segment.byteSize() - WORD.byteSize());
    return memory;
  }

  /** What QEMU writes at an address must arrive in the file, and must not have been there. */
  private void compare(QtestSession session, long offset) throws IOException {
    long before = segment.get(WORD, offset);
    long written = before ^ MAGIC ^ System.nanoTime() << 8 | 1;
    written = written == before ? ~before : written;
    session.write(START + offset, 8, written);
    long seen = segment.get(WORD, offset);
    session.write(START + offset, 8, before);
    if (seen != written) {
      throw new IOException(
          String.format(
              "%s is not the RAM of %s: they differ at 0x%x; is it shared (share=on)?",
              file, session, START + offset));
    }
  }

  /** The file. */
  public Path file() {
    return file;
  }

  @Override
  protected Region grow(long bytes) throws IOException {
    if (!regions().isEmpty() || bytes > segment.byteSize()) {
      throw new IOException(
          String.format(
              "no room for %d bytes: the machine's RAM that can be used, %d bytes of %s, is taken;"
                  + " start QEMU with a larger one (-m)",
              bytes, segment.byteSize(), file));
    }
    // Not zeroed as a whole: what is allocated of it is.
    return new Region(segment, START);
  }
}
