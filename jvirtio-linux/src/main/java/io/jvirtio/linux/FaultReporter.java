// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.linux;

import io.jvirtio.device.EventSource;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.util.Objects;

/** Tells a {@link FaultHandler} and survives whatever it does. Never throws. Any thread. */
final class FaultReporter {
  private static final Logger LOG = System.getLogger(EventLoop.class.getName());

  private final FaultHandler handler;
  private final String owner;

  /** For the owner of this name. */
  FaultReporter(FaultHandler handler, String owner) {
    this.handler = Objects.requireNonNull(handler);
    this.owner = owner;
  }

  /** Reports what a source threw; null for a task. */
  void report(EventSource source, Throwable fault) {
    try {
      handler.onFault(source, fault);
    } catch (Throwable t) {
      try {
        fault.addSuppressed(t);
        LOG.log(Level.ERROR, "the fault handler of " + owner + " threw", fault);
      } catch (Throwable hopeless) {
        // Not even the log works, as when memory is exhausted: going on is all that is left.
        Thread.onSpinWait();
      }
    }
  }
}
