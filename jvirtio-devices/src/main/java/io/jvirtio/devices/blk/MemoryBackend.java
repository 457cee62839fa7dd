// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.devices.blk;

import io.jvirtio.device.QueueOwner;
import java.util.Arrays;
import java.util.concurrent.atomic.AtomicReferenceArray;

/**
 * A disk in the Java heap, for tests and demonstrations. It takes memory only for what was written,
 * in chunks of 64 KiB. Everything is done at once, on the caller's thread; nothing outlives it.
 *
 * <p>Thread-safe. Like every disk it gives no order to requests that overlap.
 */
public final class MemoryBackend implements BlockBackend {
  static final int CHUNK = 1 << 16;
  private static final int SECTOR = 512;

  private volatile AtomicReferenceArray<byte[]> chunks;
  private volatile long capacity;

  /**
   * A disk of zeroes.
   *
   * @param capacity bytes, a multiple of 512
   */
  public MemoryBackend(long capacity) {
    if (capacity < 0 || capacity % SECTOR != 0) {
      throw new IllegalArgumentException("capacity " + capacity + " is no multiple of 512");
    }
    this.capacity = capacity;
    chunks = new AtomicReferenceArray<>(chunksFor(capacity));
  }

  private static int chunksFor(long bytes) {
    return Math.toIntExact((bytes + CHUNK - 1) / CHUNK);
  }

  /**
   * Changes the size; the device learns of it by {@link BlkDevice#refreshSize}. What is behind a
   * smaller size is lost. No queue may be running while it shrinks.
   *
   * @param bytes a multiple of 512
   */
  public synchronized void resize(long bytes) {
    if (bytes < 0 || bytes % SECTOR != 0) {
      throw new IllegalArgumentException("capacity " + bytes + " is no multiple of 512");
    }
    AtomicReferenceArray<byte[]> resized = new AtomicReferenceArray<>(chunksFor(bytes));
    for (int i = 0; i < Math.min(resized.length(), chunks.length()); i++) {
      resized.set(i, chunks.get(i));
    }
    chunks = resized;
    capacity = bytes;
  }

  @Override
  public long capacity() {
    return capacity;
  }

  @Override
  public boolean readOnly() {
    return false;
  }

  @Override
  public BlockCapabilities capabilities() {
    return new BlockCapabilities(true, true, true, true);
  }

  @Override
  public BlockChannel openChannel(QueueOwner owner, int depth) {
    return new MemoryChannel(this, depth);
  }

  @Override
  public void close() {}

  /**
   * The chunk with this number for reading; null when it is all zero.
   *
   * @throws IndexOutOfBoundsException behind the end
   */
  byte[] chunk(int number) {
    return chunks.get(number);
  }

  /** The chunk with this number for writing. */
  byte[] chunkForWriting(int number) {
    byte[] chunk = chunks.get(number);
    if (chunk == null) {
      byte[] fresh = new byte[CHUNK];
      byte[] other = chunks.compareAndExchange(number, null, fresh);
      chunk = other == null ? fresh : other;
    }
    return chunk;
  }

  /**
   * Makes a range read as zeroes.
   *
   * @param drop whether to let go of whole chunks
   */
  void zero(long position, long length, boolean drop) {
    long at = position;
    long end = position + length;
    while (at < end) {
      int number = (int) (at / CHUNK);
      int offset = (int) (at % CHUNK);
      int step = (int) Math.min(CHUNK - offset, end - at);
      if (drop && step == CHUNK) {
        chunks.set(number, null);
      } else if (chunks.get(number) != null) {
        Arrays.fill(chunks.get(number), offset, offset + step, (byte) 0);
      }
      at += step;
    }
  }

  /** How much memory the data takes, in bytes: for tests of discard. */
  public long allocated() {
    long sum = 0;
    for (int i = 0; i < chunks.length(); i++) {
      sum += chunks.get(i) == null ? 0 : CHUNK;
    }
    return sum;
  }

  /** Reads like a driver would, for tests: {@code length} bytes at {@code position}. */
  public byte[] read(long position, int length) {
    byte[] result = new byte[length];
    int done = 0;
    while (done < length) {
      long at = position + done;
      int offset = (int) (at % CHUNK);
      int step = Math.min(CHUNK - offset, length - done);
      byte[] chunk = chunk((int) (at / CHUNK));
      if (chunk != null) {
        System.arraycopy(chunk, offset, result, done, step);
      }
      done += step;
    }
    return result;
  }

  /** Writes like a driver would, for tests. */
  public void write(long position, byte[] data) {
    int done = 0;
    while (done < data.length) {
      long at = position + done;
      int offset = (int) (at % CHUNK);
      int step = Math.min(CHUNK - offset, data.length - done);
      System.arraycopy(data, done, chunkForWriting((int) (at / CHUNK)), offset, step);
      done += step;
    }
  }
}
