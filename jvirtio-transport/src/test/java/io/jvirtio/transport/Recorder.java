// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport;

import io.jvirtio.driver.TransportListener;
import io.jvirtio.memory.PeerFault;
import java.io.IOException;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;

/** What a transport has told its driver. Any thread. */
public final class Recorder implements TransportListener {
  /** How often it was told that the configuration has changed. */
  public final AtomicInteger changes = new AtomicInteger();

  /** Which queues broke, by index. */
  public final List<Integer> broken = new CopyOnWriteArrayList<>();

  /** Why the device was lost: once at most, if the transport keeps its word. */
  public final List<IOException> lost = new CopyOnWriteArrayList<>();

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
