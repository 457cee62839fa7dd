// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vhost;

import io.jvirtio.device.EventSource;
import io.jvirtio.linux.EventFd;
import io.jvirtio.linux.EventLoop;
import io.jvirtio.linux.LinuxException;
import io.jvirtio.linux.LoopMode;
import io.jvirtio.linux.WokenException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeoutException;

/**
 * Notices what a back-end does by itself: it goes away, its configuration changes, a vring breaks.
 * One daemon thread, which never waits for a reply.
 */
final class FrontEndMonitor implements EventSource, AutoCloseable {
  private static final Logger LOG = System.getLogger(FrontEndMonitor.class.getName());
  private static final Duration PATIENCE = Duration.ofSeconds(10);

  /** Who hears of it, on the monitor's thread. */
  interface Events {
    /** The configuration has changed, so many times. */
    void configurationChanged(int times);

    /** The back-end signalled the error descriptor of a vring. */
    void vringFailed(int index);

    /** The connection has failed. Once a session. */
    void lost(IOException reason);
  }

  private final EventLoop loop;
  private final Events events;
  // Monitor thread only.
  private final Map<Integer, EventFd> errors = new HashMap<>();
  private FrontEndSession session;

  /**
   * Starts the thread.
   *
   * @throws IOException when the process has no more room for descriptors
   */
  FrontEndMonitor(String name, Events events) throws IOException {
    this.events = events;
    this.loop =
        EventLoop.start(
            name,
            LoopMode.EVENT,
            (source, fault) -> LOG.log(Level.ERROR, name + ": unexpected failure", fault));
    loop.execute(() -> loop.addSource(this));
  }

  /**
   * Watches a session from now on.
   *
   * @throws IOException when it has failed already; it is then closed
   */
  void watch(FrontEndSession next) throws IOException {
    boolean done = false;
    try {
      onLoop(
          () -> {
            next.channel().watchOn(loop, () -> failed(next));
            if (next.requests() != null) {
              next.requests().watchOn(loop);
            }
            session = next;
            return null;
          });
      done = true;
    } finally {
      if (!done) {
        drop(next);
      }
    }
  }

  /** Ends a session that is not of interest any more, without a word to anybody. */
  void drop(FrontEndSession old) {
    if (old.requests() != null && !loop.isOwner()) {
      old.requests().wake();
    }
    later(
        () -> {
          if (session == old) {
            session = null;
          }
          old.close();
        });
  }

  private void failed(FrontEndSession failed) {
    try {
      loop.execute(() -> lost(failed));
    } catch (RejectedExecutionException closing) {
      LOG.log(Level.DEBUG, "connection failed while the transport was closed");
    }
  }

  private void lost(FrontEndSession failed) {
    if (session == failed) {
      session = null;
      failed.close();
      events.lost(failed.channel().failure());
    }
  }

  /** Takes over the error descriptor of a vring; it is closed by {@link #removeError}. */
  void addError(int index, EventFd error) {
    later(
        () -> {
          errors.put(index, error);
          try {
            loop.watch(error.fd().value());
          } catch (UncheckedIOException | IllegalStateException e) {
            LOG.log(Level.WARNING, "vring {0}: error descriptor: {1}", index, e.getMessage());
          }
        });
  }

  /** Closes the error descriptor of a vring. */
  void removeError(int index, EventFd error) {
    later(
        () -> {
          errors.remove(index, error);
          try {
            loop.unwatch(error.fd().value());
          } catch (UncheckedIOException | IllegalStateException e) {
            LOG.log(Level.DEBUG, "vring {0}: error descriptor: {1}", index, e.getMessage());
          } finally {
            error.close();
          }
        });
  }

  private void later(Runnable task) {
    try {
      loop.execute(task);
    } catch (RejectedExecutionException ended) {
      task.run(); // Nobody else does anything here any more.
    }
  }

  private void onLoop(java.util.concurrent.Callable<Void> task) throws IOException {
    try {
      loop.call(task, PATIENCE);
    } catch (ExecutionException e) {
      if (e.getCause() instanceof IOException failure) {
        throw failure;
      }
      throw new IOException(e.getCause().getMessage(), e.getCause());
    } catch (TimeoutException e) {
      throw new IOException("the monitor of the back-end is busy for " + PATIENCE, e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IOException("interrupted", e);
    } catch (RejectedExecutionException e) {
      throw new IOException("transport is closed", e);
    }
  }

  @Override
  public boolean poll() {
    FrontEndSession now = session;
    boolean worked = false;
    if (now != null) {
      now.channel().lookForEnd();
      worked = serve(now);
    }
    for (Map.Entry<Integer, EventFd> error : errors.entrySet()) {
      if (isSignalled(error.getValue())) {
        events.vringFailed(error.getKey());
      }
    }
    return worked;
  }

  private boolean serve(FrontEndSession now) {
    BackEndRequests requests = now.requests();
    if (requests == null) {
      return false;
    }
    boolean served = false;
    try {
      served = requests.serve();
    } catch (WokenException closing) {
      LOG.log(Level.DEBUG, "channel of the back-end: {0}", closing.getMessage());
    } catch (ProtocolFault | IOException e) {
      now.channel().fail("channel of the back-end: " + e.getMessage());
    }
    int changes = requests.takeChanges();
    if (changes > 0) {
      events.configurationChanged(changes);
    }
    return served;
  }

  private static boolean isSignalled(EventFd error) {
    try {
      return error.drain() > 0;
    } catch (LinuxException e) {
      LOG.log(Level.DEBUG, "error descriptor: {0}", e.getMessage());
      return false;
    }
  }

  /** Every edge wakes the loop, also one before the descriptor was watched. */
  @Override
  public boolean arm() {
    return true;
  }

  @Override
  public void disarm() {}

  /** Ends the thread, after what was posted. Idempotent. */
  @Override
  public void close() {
    loop.close();
  }
}
