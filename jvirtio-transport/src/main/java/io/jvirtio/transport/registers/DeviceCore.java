// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.registers;

import io.jvirtio.device.DeviceHost;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.transport.AccessCounters;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Future;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/**
 * What the parts of {@link DeviceRegisters} share: the host with the lock that makes its holder the
 * control thread, and how what fails is survived.
 */
final class DeviceCore {
  private static final Logger LOG = System.getLogger(DeviceRegisters.class.getName());

  /** How long a register write may take, in milliseconds: peers have deadlines of a few seconds. */
  private static final long PATIENCE_MS = 1000;

  final DeviceHost host;
  final AccessCounters counters = new AccessCounters();
  final Object lock = new Object();

  /** For who begins a reset: not the lock, which the reset of a queue may hold for long. */
  final Object beginning = new Object();

  /** The device is being reset: the lock may be held for long. */
  volatile boolean resetting;

  volatile boolean closed;
  private final ExecutorService resets;

  DeviceCore(DeviceHost host, ExecutorService resets) {
    this.host = host;
    this.resets = resets;
  }

  /** Something that a driver can make fail. */
  interface Action {
    void run() throws PeerFault;
  }

  /** Does what the driver wants; when that is refused, it is counted. */
  void guarded(String what, Action action) {
    try {
      action.run();
    } catch (PeerFault refused) {
      counters.ignoredWrite();
    } catch (RuntimeException bug) {
      // The device's bug, or a queue of it that does not end.
      LOG.log(Level.ERROR, "device " + host.device().deviceId() + ": " + what + " failed", bug);
    }
  }

  /** Whether a register write waits for what takes long, however long. */
  boolean isPatient() {
    return resets == null;
  }

  /** Starts what may take long; does it at once where nobody else does any more. */
  Future<?> start(Runnable task) {
    try {
      return resets.submit(task);
    } catch (RejectedExecutionException ended) {
      task.run();
      return CompletableFuture.completedFuture(null);
    }
  }

  /** Waits for it for as long as a register write may take. */
  void await(Future<?> done) {
    try {
      done.get(PATIENCE_MS, TimeUnit.MILLISECONDS);
    } catch (TimeoutException slow) {
      LOG.log(Level.INFO, "device {0} is still being reset", host.device().deviceId());
    } catch (ExecutionException e) {
      throw new AssertionError(e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }
}
