// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli.drive;

import io.jvirtio.cli.CliException;
import java.lang.foreign.MemorySegment;

/** Compares a file with the beginning of a device. */
final class Compare implements Pipeline.Work {
  private final CopyFile file;
  private final long fileSize;
  private final long end;
  private final MemorySegment expected;
  private final ProgressBar progress;
  private long next;
  private long done;

  /**
   * Nothing compared yet.
   *
   * @param end where to end on the device: at or behind the end of the file, what is behind it is
   *     zero
   * @param scratch as large as the buffers of the pipeline
   */
  Compare(CopyFile file, long end, MemorySegment scratch, ProgressBar progress)
      throws CliException {
    this.file = file;
    this.fileSize = Math.min(end, file.size());
    this.end = end;
    this.expected = scratch;
    this.progress = progress;
  }

  @Override
  public boolean next(Pipeline.Slot slot) {
    if (next == end) {
      return false;
    }
    slot.at = next;
    slot.length = Math.min(slot.buffer.byteSize(), end - next);
    slot.read();
    next += slot.length;
    return true;
  }

  @Override
  public boolean ended(Pipeline.Slot slot) throws CliException {
    long inFile = Math.clamp(fileSize - slot.at, 0, slot.length);
    file.read(expected, inFile, slot.at);
    expected.asSlice(inFile, slot.length - inFile).fill((byte) 0);
    long different = MemorySegment.mismatch(expected, 0, slot.length, slot.buffer, 0, slot.length);
    if (different != -1) {
      throw new CliException(
          "the device and the file differ, first seen at byte "
              + (slot.at + different)
              + ": somebody else writes to one of them, or the device loses data");
    }
    done += slot.length;
    progress.done(done);
    return false;
  }
}
