// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli;

import io.jvirtio.vhost.VhostUserServer;

/**
 * Ends a server on SIGTERM and SIGINT. A signal that comes before there is a server ends it as soon
 * as it is there.
 */
final class Stop {
  private static final long PATIENCE_MILLIS = 5000;

  private VhostUserServer server;
  private boolean asked;

  /** Catches the signals from now on. */
  Stop() {
    Signals.handle("TERM", this::ask);
    Signals.handle("INT", this::ask);
  }

  /** Names what is to be stopped. */
  synchronized void arm(VhostUserServer newServer) {
    server = newServer;
    if (asked) {
      server.stop();
    }
  }

  private synchronized void ask() {
    if (asked) {
      return;
    }
    asked = true;
    if (server != null) {
      server.stop();
    }
    Thread thread = new Thread(Stop::end, "stop-deadline");
    thread.setDaemon(true);
    thread.start();
  }

  /** A disk that does not answer must not keep the process. */
  private static void end() {
    try {
      Thread.sleep(PATIENCE_MILLIS);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
    System.err.println("jvirtio blk: input or output hangs: ended without waiting for it");
    Runtime.getRuntime().halt(1);
  }
}
