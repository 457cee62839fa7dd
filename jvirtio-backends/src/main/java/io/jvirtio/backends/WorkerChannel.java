// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.backends;

import io.jvirtio.device.QueueOwner;

/** A channel for kernels without io_uring: workers move the data. Owner thread only. */
final class WorkerChannel extends ImageChannel {
  WorkerChannel(Image image, QueueOwner owner, Workers workers, int places) {
    super(image, owner, workers, places);
  }

  @Override
  void start(FileOp op) {
    detour(op);
  }

  @Override
  public void submit() {}
}
