// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli;

/**
 * Ends a server on SIGTERM and SIGINT. A signal that comes before there is a server ends it as soon
 * as it is there.
 */
final class Stop {
  private static final long PATIENCE_MILLIS = 5000;

  private final String command;
  private Runnable stopServer;
  private boolean asked;

  /**
   * Catches the signals from now on.
   *
   * @param command whose name is told
   */
  Stop(String command) {
    this.command = command;
    Signals.handle("TERM", this::ask);
    Signals.handle("INT", this::ask);
  }

  /** Says how the server is stopped. */
  synchronized void arm(Runnable newStopServer) {
    stopServer = newStopServer;
    if (asked) {
      stopServer.run();
    }
  }

  private synchronized void ask() {
    if (asked) {
      return;
    }
    asked = true;
    if (stopServer != null) {
      stopServer.run();
    }
    Thread thread = new Thread(this::end, "stop-deadline");
    thread.setDaemon(true);
    thread.start();
  }

  /** A disk that does not answer must not keep the process. */
  private void end() {
    try {
      Thread.sleep(PATIENCE_MILLIS);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
    System.err.println(command + ": input or output hangs: ended without waiting for it");
    Runtime.getRuntime().halt(1);
  }
}
