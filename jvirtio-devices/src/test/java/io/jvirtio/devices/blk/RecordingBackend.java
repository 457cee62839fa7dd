// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.devices.blk;

import io.jvirtio.device.QueueOwner;
import java.io.IOException;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;

/** A back end that tells what was asked of it, and ends requests when and how the test says. */
final class RecordingBackend implements BlockBackend {
  private final BlockBackend data;
  private final List<String> log = new ArrayList<>();
  final Deque<BlockRequest> held = new ArrayDeque<>();
  int logicalBlockSize = 512;
  BlockCapabilities capabilities = new BlockCapabilities(true, true, true, true);
  boolean readOnly;
  boolean hold;
  int room = Integer.MAX_VALUE;

  /** So many polls come before anything has ended. */
  int early;

  int open;
  int result;
  IOException openFailure;

  RecordingBackend(BlockBackend data) {
    this.data = data;
  }

  /** What was asked since the last call. */
  String log() {
    String all = String.join(", ", log);
    log.clear();
    return all;
  }

  @Override
  public long capacity() {
    return data.capacity();
  }

  @Override
  public boolean readOnly() {
    return readOnly;
  }

  @Override
  public BlockCapabilities capabilities() {
    return capabilities;
  }

  @Override
  public int logicalBlockSize() {
    return logicalBlockSize;
  }

  @Override
  public BlockChannel openChannel(QueueOwner owner, int depth) throws IOException {
    if (openFailure != null) {
      throw openFailure;
    }
    open++;
    return new Channel();
  }

  @Override
  public void close() {}

  private final class Channel implements BlockChannel {
    private final Deque<BlockRequest> started = new ArrayDeque<>();

    private void take(String what, BlockRequest request) {
      log.add(request.stable() ? what + " stable" : what);
      (hold ? held : started).add(request);
    }

    @Override
    public boolean hasRoom() {
      return held.size() + started.size() < room;
    }

    @Override
    public void read(BlockRequest request) {
      take("read", request);
    }

    @Override
    public void write(BlockRequest request) {
      take("write", request);
    }

    @Override
    public void flush(BlockRequest request) {
      take("flush", request);
    }

    @Override
    public void discard(BlockRequest request) {
      take("discard", request);
    }

    @Override
    public void writeZeroes(BlockRequest request) {
      take(request.unmap() ? "unmap" : "zero", request);
    }

    @Override
    public void secureErase(BlockRequest request) {
      take("erase", request);
    }

    @Override
    public void submit() {}

    @Override
    public boolean poll() {
      if (early > 0) {
        early--;
        return false;
      }
      boolean any = false;
      for (int left = started.size(); left > 0; left--) {
        any = true;
        started.remove().completed(result);
      }
      while (!hold && !held.isEmpty()) {
        any = true;
        held.remove().completed(result);
      }
      return any;
    }

    @Override
    public boolean arm() {
      return started.isEmpty() && (hold || held.isEmpty());
    }

    @Override
    public void close() {
      open--;
    }
  }
}
