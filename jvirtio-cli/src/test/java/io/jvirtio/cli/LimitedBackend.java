// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli;

import io.jvirtio.device.QueueOwner;
import io.jvirtio.devices.blk.BlockBackend;
import io.jvirtio.devices.blk.BlockCapabilities;
import io.jvirtio.devices.blk.BlockChannel;
import java.io.IOException;

/** A back end that can do less than the one behind it. */
record LimitedBackend(BlockBackend behind, BlockCapabilities capabilities) implements BlockBackend {
  @Override
  public long capacity() {
    return behind.capacity();
  }

  @Override
  public boolean readOnly() {
    return behind.readOnly();
  }

  @Override
  public BlockChannel openChannel(QueueOwner owner, int depth) throws IOException {
    return behind.openChannel(owner, depth);
  }

  @Override
  public void close() {
    behind.close();
  }
}
