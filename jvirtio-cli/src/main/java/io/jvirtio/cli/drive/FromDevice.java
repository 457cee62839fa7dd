// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli.drive;

import io.jvirtio.cli.CliException;

/** Copies a whole device to a file, zeroes as holes. */
final class FromDevice implements Pipeline.Work {
  private final CopyFile file;
  private final long size;
  private final ProgressBar progress;
  private long next;
  private long done;
  private long written;

  /**
   * Nothing done yet.
   *
   * @param size of the device
   */
  FromDevice(CopyFile file, long size, ProgressBar progress) {
    this.file = file;
    this.size = size;
    this.progress = progress;
  }

  @Override
  public boolean next(Pipeline.Slot slot) {
    if (next == size) {
      return false;
    }
    slot.at = next;
    slot.length = Math.min(slot.buffer.byteSize(), size - next);
    slot.read();
    next += slot.length;
    return true;
  }

  @Override
  public boolean ended(Pipeline.Slot slot) throws CliException {
    written += file.writeSparse(slot.buffer, slot.length, slot.at);
    done += slot.length;
    progress.done(done);
    return false;
  }

  /** Bytes that are not holes. */
  long written() {
    return written;
  }
}
