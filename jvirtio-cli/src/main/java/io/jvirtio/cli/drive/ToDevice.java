// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli.drive;

import io.jvirtio.cli.CliException;
import io.jvirtio.drivers.blk.BlkDriver;
import java.lang.foreign.MemorySegment;

/**
 * Copies a file to the beginning of a device. Holes and long runs of zeroes are written as such: by
 * write zeroes with unmap; where the device has none, by discard if it has that, and then by
 * looking whether zeroes are there already.
 *
 * <pre>
 *   data:                    WRITE
 *   zeroes:                  WRITE_ZEROES
 *   zeroes, without those:   [DISCARD] -- READ --all zero? done; else-- WRITE
 * </pre>
 */
final class ToDevice implements Pipeline.Work {
  private static final int WRITE = 0;
  private static final int WRITE_ZEROES = 1;
  private static final int DISCARD = 2;
  private static final int READ = 3;

  /** Shorter runs of zeroes are no request of their own. */
  private static final long LEAST_ZEROES = 1 << 16;

  private final CopyFile file;
  private final long fileSize;
  private final long end;
  private final long block;
  private final long mostZeroes;
  private final boolean canWriteZeroes;
  private final boolean canDiscard;
  private final ProgressBar progress;

  /** What was read of the file and not handed out yet, from {@link #at} on. */
  private final MemorySegment staged;

  private long at;
  private long stagedStart;
  private long stagedEnd;
  private long holeEnd;
  private long dataEnd;
  private long done;
  private long zeroes;

  /**
   * Nothing done yet.
   *
   * @param end where to end on the device: the size of the file, rounded up to blocks
   * @param scratch as large as the buffers of the pipeline
   */
  ToDevice(BlkDriver driver, CopyFile file, long end, MemorySegment scratch, ProgressBar progress)
      throws CliException {
    this.file = file;
    this.fileSize = file.size();
    this.end = end;
    this.block = Math.min(driver.blockSize(), scratch.byteSize());
    this.staged = scratch;
    this.progress = progress;
    this.canWriteZeroes = driver.limits().maxWriteZeroesBytes() >= block;
    this.canDiscard = driver.limits().maxDiscardBytes() >= block;
    long most = canWriteZeroes ? driver.limits().maxWriteZeroesBytes() : scratch.byteSize();
    if (!canWriteZeroes && canDiscard) {
      most = Math.min(most, driver.limits().maxDiscardBytes());
    }
    this.mostZeroes = most / block * block;
  }

  @Override
  public boolean next(Pipeline.Slot slot) throws CliException {
    if (at == end) {
      return false;
    }
    if (at >= stagedEnd && at >= holeEnd) {
      look();
    }
    if (at < holeEnd) {
      zeroes(slot, Math.min(holeEnd - at, mostZeroes));
      return true;
    }
    long from = at - stagedStart;
    long unit = Math.max(block, LEAST_ZEROES);
    long length = Zeros.endOfRun(staged, from, stagedEnd - stagedStart, unit) - from;
    if (Zeros.are(staged, from, Math.min(from + unit, from + length))) {
      zeroes(slot, Math.min(length, mostZeroes));
      return true;
    }
    slot.stage = WRITE;
    slot.at = at;
    slot.length = length;
    MemorySegment.copy(staged, from, slot.buffer, 0, length);
    slot.write();
    at += length;
    return true;
  }

  /** Finds the next hole, or reads the next data. */
  private void look() throws CliException {
    if (at >= dataEnd) {
      long data = Math.min(end, file.seekData(Math.min(at, fileSize)));
      // Holes shrink to whole blocks; one at the end of the file includes what fills the last
      // block.
      holeEnd = data >= fileSize ? end : data / block * block;
      if (holeEnd > at) {
        return;
      }
      long hole = file.seekHole(at);
      dataEnd = hole >= fileSize ? end : Math.min(end, (hole + block - 1) / block * block);
    }
    stagedStart = at;
    stagedEnd = Math.min(dataEnd, at + staged.byteSize());
    long inFile = Math.min(stagedEnd, fileSize) - at;
    file.read(staged, inFile, at);
    staged.asSlice(inFile, stagedEnd - at - inFile).fill((byte) 0);
  }

  private void zeroes(Pipeline.Slot slot, long length) {
    slot.at = at;
    slot.length = length;
    at += length;
    zeroes += length;
    if (canWriteZeroes) {
      slot.stage = WRITE_ZEROES;
      slot.io.writeZeroes(true).range(slot.at, length);
    } else if (canDiscard) {
      slot.stage = DISCARD;
      slot.io.discard().range(slot.at, length);
    } else {
      slot.stage = READ;
      slot.read();
    }
  }

  @Override
  public boolean ended(Pipeline.Slot slot) {
    switch (slot.stage) {
      case DISCARD -> {
        slot.stage = READ;
        slot.read();
        return true;
      }
      case READ -> {
        if (!Zeros.are(slot.buffer, 0, slot.length)) {
          slot.buffer.fill((byte) 0);
          slot.stage = WRITE;
          slot.write();
          return true;
        }
      }
      default -> {
        // Done.
      }
    }
    done += slot.length;
    progress.done(done);
    return false;
  }

  /** Bytes that were written as zeroes. */
  long zeroes() {
    return zeroes;
  }
}
