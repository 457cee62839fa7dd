// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.inprocess;

import io.jvirtio.transport.pci.PciInterrupts;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.Executor;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicIntegerArray;
import java.util.function.BooleanSupplier;

/**
 * The interrupt controller between a function and its driver in one process. Handlers of messages
 * run where the function sends them, that of the pin on an executor; each kind one after the other.
 * Thread-safe.
 */
final class InProcessInterrupts implements PciInterrupts {
  /** Where messages are to be written. */
  static final long ADDRESS = 0xfee0_0000L;

  private static final Logger LOG = System.getLogger(InProcessInterrupts.class.getName());
  private static final Duration PATIENCE = Duration.ofSeconds(10);
  private static final int MOST_VECTORS = 2048;

  private final Executor executor;
  private final BooleanSupplier statusBit;

  /** By the data of the message: whether its handler is due. */
  private final AtomicIntegerArray due = new AtomicIntegerArray(MOST_VECTORS);

  private final AtomicInteger messages = new AtomicInteger();
  private final AtomicInteger assertions = new AtomicInteger();
  private final AtomicInteger falls = new AtomicInteger();
  private volatile List<Runnable> vectors = List.of();
  private volatile Runnable pin;
  private volatile boolean level;

  /** The threads that run handlers of messages, and of the pin. */
  private volatile Thread messenger;

  private volatile Thread server;

  /** The thread that asserts the pin, while it does. */
  private volatile Thread asserting;

  /**
   * @param executor for the handler of the pin
   * @param statusBit whether the function wants the pin asserted, at this moment
   */
  InProcessInterrupts(Executor executor, BooleanSupplier statusBit) {
    this.executor = executor;
    this.statusBit = statusBit;
  }

  // --- the function's side -----------------------------------------------------------------

  @Override
  public void msix(int vector, long address, int data) {
    if (address != ADDRESS || data < 0 || data >= vectors.size()) {
      LOG.log(Level.DEBUG, "message {0} to {1} is for nobody", data, address);
      return;
    }
    due.set(data, 1);
    if (messages.getAndIncrement() == 0) {
      runMessages();
    }
  }

  private void runMessages() {
    int seen;
    do {
      seen = messages.get();
      messenger = Thread.currentThread();
      List<Runnable> handlers = vectors;
      for (int i = 0; i < handlers.size(); i++) {
        if (due.getAndSet(i, 0) != 0) {
          run(handlers.get(i));
        }
      }
      if (messages.get() == seen) {
        messenger = null; // before another thread may take over
      }
    } while (!messages.compareAndSet(seen, 0));
  }

  /** What a handler throws must not keep the next interrupt from being handled. */
  private static void run(Runnable handler) {
    try {
      handler.run();
    } catch (RuntimeException bug) {
      LOG.log(Level.ERROR, "a handler of interrupts failed", bug);
    }
  }

  @Override
  public void intx(boolean asserted) {
    level = asserted;
    if (!asserted) {
      falls.getAndIncrement();
    }
    if (asserted && pin != null) {
      asserting = Thread.currentThread();
      executor.execute(this::servePin);
      asserting = null;
    }
  }

  private void servePin() {
    if (assertions.getAndIncrement() != 0) {
      return;
    }
    int seen;
    do {
      seen = assertions.get();
      server = Thread.currentThread();
      runPin();
      if (assertions.get() == seen) {
        server = null;
      }
    } while (!assertions.compareAndSet(seen, 0));
  }

  /** For as long as the pin is asserted, which does not fall by itself. */
  private void runPin() {
    long start = System.nanoTime();
    int fallen = falls.get();
    // Another thread may disable it at any moment.
    for (Runnable handler = pin; handler != null && isAsserted(); handler = pin) {
      run(handler);
      if (falls.get() != fallen) {
        fallen = falls.get();
        start = System.nanoTime();
      } else if (System.nanoTime() - start > PATIENCE.toNanos()) {
        LOG.log(Level.ERROR, "nobody cares for the interrupt pin: it is disabled");
        pin = null;
      }
      Thread.onSpinWait();
    }
  }

  /** Where the handler runs inside of the assertion, the level only falls after it. */
  private boolean isAsserted() {
    return level && (asserting != Thread.currentThread() || statusBit.getAsBoolean());
  }

  // --- the driver's side -------------------------------------------------------------------

  void enableVectors(List<Runnable> handlers) {
    for (int i = 0; i < MOST_VECTORS; i++) {
      due.set(i, 0);
    }
    vectors = List.copyOf(handlers);
  }

  void enablePin(Runnable handler) {
    pin = handler;
    if (level) {
      executor.execute(this::servePin);
    }
  }

  /** When it returns, no handler runs, but one that has called this. */
  void disable() throws IOException {
    vectors = List.of();
    pin = null;
    long start = System.nanoTime();
    Thread self = Thread.currentThread();
    while (messages.get() != 0 && messenger != self || assertions.get() != 0 && server != self) {
      if (System.nanoTime() - start > PATIENCE.toNanos()) {
        throw new IOException("a handler of interrupts does not end in " + PATIENCE);
      }
      Thread.onSpinWait();
    }
  }
}
