// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.inprocess;

import io.jvirtio.driver.TransportListener;
import io.jvirtio.memory.PeerFault;
import java.io.IOException;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;

/** What a transport has told its driver. */
final class Recorder implements TransportListener {
  final AtomicInteger changes = new AtomicInteger();
  final List<Integer> broken = new CopyOnWriteArrayList<>();
  final List<IOException> lost = new CopyOnWriteArrayList<>();

  @Override
  public void configurationChanged() {
    changes.incrementAndGet();
  }

  @Override
  public void queueBroken(int queue, PeerFault fault) {
    broken.add(queue);
  }

  @Override
  public void lost(IOException reason) {
    lost.add(reason);
  }
}
