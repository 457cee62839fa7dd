// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.devices.blk;

import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.ChainReader;
import io.jvirtio.queue.ChainWriter;

/** A channel to a {@link MemoryBackend}: does everything in {@link #submit}. Owner thread only. */
final class MemoryChannel implements BlockChannel {
  private enum Operation {
    READ,
    WRITE,
    FLUSH,
    DISCARD,
    WRITE_ZEROES
  }

  private static final byte[] ZEROES = new byte[MemoryBackend.CHUNK];

  private final MemoryBackend backend;
  private final BlockRequest[] queued;
  private final Operation[] operations;
  private int head;
  private int count;

  MemoryChannel(MemoryBackend backend, int depth) {
    this.backend = backend;
    this.queued = new BlockRequest[depth];
    this.operations = new Operation[depth];
  }

  @Override
  public boolean hasRoom() {
    return count < queued.length;
  }

  private void queue(Operation operation, BlockRequest request) {
    if (!hasRoom()) {
      throw new IllegalStateException("channel is full");
    }
    int slot = (head + count) % queued.length;
    queued[slot] = request;
    operations[slot] = operation;
    count++;
  }

  @Override
  public void read(BlockRequest request) {
    queue(Operation.READ, request);
  }

  @Override
  public void write(BlockRequest request) {
    queue(Operation.WRITE, request);
  }

  @Override
  public void flush(BlockRequest request) {
    queue(Operation.FLUSH, request);
  }

  @Override
  public void discard(BlockRequest request) {
    queue(Operation.DISCARD, request);
  }

  @Override
  public void writeZeroes(BlockRequest request) {
    queue(Operation.WRITE_ZEROES, request);
  }

  @Override
  public void secureErase(BlockRequest request) {
    // Overwritten in place: in memory no copy is left.
    queue(Operation.WRITE_ZEROES, request);
  }

  @Override
  public void submit() {
    while (count > 0) {
      BlockRequest request = queued[head];
      Operation operation = operations[head];
      queued[head] = null;
      head = (head + 1) % queued.length;
      count--;
      request.completed(perform(operation, request));
    }
  }

  private int perform(Operation operation, BlockRequest request) {
    if (request.position() + request.length() > backend.capacity()) {
      return BlockRequest.IO_ERROR;
    }
    try {
      switch (operation) {
        case READ -> transferIn(request);
        case WRITE -> transferOut(request);
        case FLUSH -> {}
        case DISCARD -> backend.zero(request.position(), request.length(), true);
        case WRITE_ZEROES -> backend.zero(request.position(), request.length(), request.unmap());
      }
      return BlockRequest.OK;
    } catch (PeerFault | InternalError vanished) {
      return BlockRequest.BAD_MEMORY;
    }
  }

  private void transferIn(BlockRequest request) throws PeerFault {
    ChainWriter target = request.target();
    long at = request.position();
    long left = request.length();
    while (left > 0) {
      byte[] chunk = backend.chunk((int) (at / MemoryBackend.CHUNK));
      int offset = (int) (at % MemoryBackend.CHUNK);
      int step = (int) Math.min(MemoryBackend.CHUNK - offset, left);
      target.bytes(chunk == null ? ZEROES : chunk, offset, step);
      at += step;
      left -= step;
    }
  }

  private void transferOut(BlockRequest request) throws PeerFault {
    ChainReader source = request.data();
    long at = request.position();
    long left = request.length();
    while (left > 0) {
      byte[] chunk = backend.chunkForWriting((int) (at / MemoryBackend.CHUNK));
      int offset = (int) (at % MemoryBackend.CHUNK);
      int step = (int) Math.min(MemoryBackend.CHUNK - offset, left);
      source.bytes(chunk, offset, step);
      at += step;
      left -= step;
    }
  }

  @Override
  public boolean poll() {
    return false;
  }

  @Override
  public boolean arm() {
    return true;
  }

  @Override
  public void close() {}
}
