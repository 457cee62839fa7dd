// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport;

import io.jvirtio.driver.UsedBufferHandler;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DriverQueue;
import java.util.ArrayList;
import java.util.List;

/** Why queues broke, for a driver that uses them for nothing else. On the owner of the queues. */
public final class BrokenQueues implements UsedBufferHandler {
  /** One for each queue, in the order in which they broke. */
  public final List<PeerFault> faults = new ArrayList<>();

  @Override
  public void used(DriverQueue queue) {}

  @Override
  public void broken(DriverQueue queue, PeerFault fault) {
    faults.add(fault);
  }
}
