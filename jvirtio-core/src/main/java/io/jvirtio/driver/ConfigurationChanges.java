// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.driver;

/**
 * Configuration change notifications between the transport's thread and the driver: many that
 * arrive together are one, and one that arrives while they are disabled is kept. Thread-safe; never
 * blocks.
 */
final class ConfigurationChanges {
  private final ControlExecutor executor;
  private final Runnable look;

  /** How often disabled. */
  private int disabled = 1;

  /** One that the driver has not been told. */
  private boolean pending;

  /** Whether the executor will look. */
  private boolean scheduled;

  /** Disabled at first: a driver hears nothing before its device is live. */
  ConfigurationChanges(ControlExecutor executor, Runnable look) {
    this.executor = executor;
    this.look = look;
  }

  /** One has arrived. The executor looks even while they are disabled: it may mean more. */
  void arrived() {
    synchronized (this) {
      pending = true;
    }
    schedule();
  }

  private void schedule() {
    synchronized (this) {
      if (scheduled) {
        return;
      }
      scheduled = true;
    }
    // Outside of the lock: an executor may run it here and now, and with it the driver.
    executor.execute(look);
  }

  /** The executor looks now; what arrives from here on lets it look again. */
  synchronized void looking() {
    scheduled = false;
  }

  /** Takes the one that the driver is to be told, if there is one and it may be told now. */
  synchronized boolean take() {
    boolean due = pending && disabled == 0;
    if (due) {
      pending = false;
    }
    return due;
  }

  synchronized void disable() {
    disabled++;
  }

  /** Undoes one {@link #disable}; the last one lets what was kept be told. */
  void enable() {
    synchronized (this) {
      if (disabled == 0) {
        throw new IllegalStateException("configuration changes are not disabled");
      }
      disabled--;
      if (disabled > 0 || !pending) {
        return;
      }
    }
    schedule();
  }

  /** As at first, with nothing kept: for a driver to come. */
  synchronized void restart() {
    disabled = 1;
    pending = false;
  }
}
