// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.inprocess;

import io.jvirtio.linux.EventLoop;
import io.jvirtio.linux.LinuxException;
import io.jvirtio.linux.LoopMode;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;

/** Event loops of a test, and what was thrown on them. */
final class Loops implements AutoCloseable {
  private final List<EventLoop> loops = new ArrayList<>();
  private final List<Throwable> faults = new CopyOnWriteArrayList<>();

  EventLoop start(String name, LoopMode mode) throws LinuxException {
    EventLoop loop = EventLoop.start(name, mode, (source, fault) -> faults.add(fault));
    loops.add(loop);
    return loop;
  }

  EventLoop onCaller() throws LinuxException {
    EventLoop loop =
        EventLoop.onCaller(
            LoopMode.EVENT, EventLoop.DEFAULT_POLL_WINDOW, (source, fault) -> faults.add(fault));
    loops.add(loop);
    return loop;
  }

  @Override
  public void close() {
    loops.forEach(EventLoop::close);
    if (!faults.isEmpty()) {
      throw new AssertionError("on an event loop", faults.getFirst());
    }
  }
}
