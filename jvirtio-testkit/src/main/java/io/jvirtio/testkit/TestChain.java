// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import java.util.List;

/**
 * A buffer that the scripted driver made available.
 *
 * @param memory where its pieces are
 * @param head the index of its first descriptor (split), or its buffer id (packed)
 * @param descriptors the indexes of all its descriptors in the queue's table or ring, first first
 * @param readable the device-readable pieces, in order
 * @param writable the device-writable pieces, in order
 */
public record TestChain(
    TestMemory memory,
    int head,
    List<Integer> descriptors,
    List<Piece> readable,
    List<Piece> writable) {
  /**
   * What one descriptor refers to.
   *
   * @param address guest-physical
   * @param length bytes, 0 to 2^32 - 1
   */
  public record Piece(long address, long length) {}

  /** Bytes of all device-writable pieces. */
  public long writableLength() {
    return length(writable);
  }

  /** Bytes of all device-readable pieces. */
  public long readableLength() {
    return length(readable);
  }

  private static long length(List<Piece> pieces) {
    return pieces.stream().mapToLong(Piece::length).sum();
  }

  /** What stands in the whole device-writable part now. */
  public byte[] writtenBytes() {
    return writtenBytes(Math.toIntExact(writableLength()));
  }

  /**
   * What stands at the start of the device-writable part now.
   *
   * @param count bytes, at most {@link #writableLength}
   */
  public byte[] writtenBytes(int count) {
    return bytes(writable, count);
  }

  /** What stands in the device-readable part now. */
  public byte[] readableBytes() {
    return bytes(readable, Math.toIntExact(readableLength()));
  }

  private byte[] bytes(List<Piece> pieces, int count) {
    byte[] result = new byte[count];
    int done = 0;
    for (Piece piece : pieces) {
      int step = (int) Math.min(count - done, piece.length());
      if (step > 0) {
        System.arraycopy(memory.read(piece.address(), step), 0, result, done, step);
        done += step;
      }
    }
    if (done < count) {
      throw new IllegalArgumentException("the chain has " + done + " bytes, not " + count);
    }
    return result;
  }
}
