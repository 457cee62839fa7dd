// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.pci;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.device.EventSource;
import io.jvirtio.device.QueueOwner;
import io.jvirtio.memory.GuestMemory;
import io.jvirtio.transport.AccessCounters;
import io.jvirtio.transport.TestDevice;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.AbstractExecutorService;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BooleanSupplier;
import org.junit.jupiter.api.Test;

/** What must not be seen, or come to pass, between two threads. */
class FunctionRaceTest {
  /** Runs what it is given when it is told to, in any order. */
  private static final class Later extends AbstractExecutorService {
    final List<Runnable> tasks = new ArrayList<>();
    private boolean shutdown;

    @Override
    public void execute(Runnable task) {
      if (shutdown) {
        throw new RejectedExecutionException();
      }
      tasks.add(task);
    }

    @Override
    public void shutdown() {
      shutdown = true;
    }

    @Override
    public List<Runnable> shutdownNow() {
      shutdown = true;
      return List.of();
    }

    @Override
    public boolean isShutdown() {
      return shutdown;
    }

    @Override
    public boolean isTerminated() {
      return shutdown;
    }

    @Override
    public boolean awaitTermination(long timeout, TimeUnit unit) {
      return shutdown;
    }
  }

  private final Later later = new Later();

  private FunctionRig rig() {
    return new FunctionRig(PciOptions.defaults().withResets(later));
  }

  @Test
  void nothingIsLeftOfAQueueOnceTheStatusIsZero() {
    TestDevice device = new TestDevice(2, 2);
    try (FunctionRig rig = new FunctionRig(PciOptions.defaults().withResets(later), device)) {
      rig.start();
      rig.setCommon(0x16, 2, 1);
      rig.setCommon(0x14, 1, 0);
      AtomicInteger early = new AtomicInteger();
      device.onQueueMaxSize =
          () -> {
            if (rig.common(0x14, 1) == 0) {
              early.incrementAndGet();
            }
          };
      later.tasks.removeFirst().run();
      assertEquals(0, early.get());
      device.onQueueMaxSize = () -> {};
      assertEquals(0, rig.common(0x14, 1));
      assertEquals(0, rig.common(0x1c, 2));
    }
  }

  @Test
  void aResetThatComesAfterTheEndDoesNothing() {
    FunctionRig rig = rig();
    rig.start();
    rig.setCommon(0x14, 1, 0);
    rig.close();
    int resets = rig.device.resets;
    rig.pin = true;
    later.tasks.removeFirst().run();
    assertEquals(resets, rig.device.resets);
    assertTrue(rig.pin, "an interrupt was touched that is not the function's any more");
  }

  @Test
  void afterTheEndNoResetIsBegun() {
    FunctionRig rig = rig();
    rig.start();
    rig.close();
    later.shutdown();
    rig.ignored();
    rig.setCommon(0x14, 1, 0);
    rig.setCommon(0x16, 2, 1);
    rig.setCommon(0x3a, 2, 1);
    assertEquals(0, rig.common(0x3a, 2));
    rig.function.reset();
    assertEquals(0, later.tasks.size());
  }

  @Test
  void theResetOfAQueueThatComesLateSparesItsSuccessor() {
    try (FunctionRig rig = rig()) {
      rig.start();
      rig.setCommon(0x16, 2, 0);
      rig.setCommon(0x3a, 2, 1);
      rig.setCommon(0x14, 1, 0);
      later.tasks.removeLast().run();
      rig.setCommon(0x16, 2, 0);
      assertEquals(0, rig.common(0x3a, 2));
      rig.clear(0);
      rig.start();
      later.tasks.removeFirst().run();
      rig.setCommon(0x16, 2, 0);
      assertEquals(1, rig.common(0x1c, 2));
      rig.transfer(0);
      assertEquals(1, rig.used(0));
    }
  }

  private interface Condition {
    boolean holds();
  }

  private static void await(Condition condition) throws InterruptedException {
    long end = System.nanoTime() + 20_000_000_000L;
    while (!condition.holds()) {
      assertTrue(System.nanoTime() < end, "waited in vain");
      Thread.sleep(1);
    }
  }

  @Test
  void nothingThatIsWrittenDuringAResetWaitsOrHasAnEffect() throws InterruptedException {
    try (ExecutorService resets = Executors.newSingleThreadExecutor();
        FunctionRig rig = new FunctionRig(PciOptions.defaults().withResets(resets))) {
      rig.start();
      rig.device.holding = true;
      rig.transfer(0);
      rig.setCommon(0x14, 1, 0);
      rig.ignored();
      rig.setCommon(0x08, 4, 0);
      rig.setCommon(0x0c, 4, 8);
      rig.setCommon(0x16, 2, 1);
      rig.setCommon(0x18, 2, 4);
      rig.setCommon(0x20, 4, 0x1000);
      rig.setCommon(0x1c, 2, 1);
      rig.set(FunctionRig.DEVICE, 12, 2, 0x5555);
      assertEquals(5, rig.ignored());
      assertTrue(rig.common(0x14, 1) != 0);
      rig.device.holding = false;
      await(() -> rig.common(0x14, 1) == 0);
      assertEquals(0, rig.common(0x20, 4));
      assertEquals(0, rig.common(0x0c, 4));
      assertEquals(TestDevice.MAX_SIZE, rig.common(0x18, 2));
    }
  }

  @Test
  void aDeviceIsResetWhileAQueueOfItIs() throws InterruptedException {
    try (ExecutorService resets = Executors.newSingleThreadExecutor();
        FunctionRig rig = new FunctionRig(PciOptions.defaults().withResets(resets))) {
      rig.start();
      rig.device.holding = true;
      rig.transfer(0);
      rig.setCommon(0x16, 2, 0);
      rig.setCommon(0x3a, 2, 1);
      rig.setCommon(0x14, 1, 0); // would wait for what only the next line ends
      rig.device.holding = false;
      await(() -> rig.common(0x14, 1) == 0);
      assertEquals(0, rig.common(0x3a, 2));
    }
  }

  /** Does what it is told at once, or never. */
  private static final class Deaf implements QueueOwner {
    boolean deaf;

    @Override
    public void execute(Runnable task) {
      if (!deaf) {
        task.run();
      }
    }

    @Override
    public boolean isOwner() {
      return false;
    }

    @Override
    public void addSource(EventSource source) {}

    @Override
    public void removeSource(EventSource source) {}

    @Override
    public void wakeUp() {}

    @Override
    public boolean runUntil(BooleanSupplier done, Duration deadline) {
      throw new IllegalStateException();
    }

    @Override
    public void watch(int fd) {}

    @Override
    public void unwatch(int fd) {}
  }

  @Test
  void memoryThatAQueueHoldsOnToIsNotSaidToBeFree() {
    Deaf owner = new Deaf();
    try (FunctionRig rig = new FunctionRig(PciOptions.defaults(), owner)) {
      rig.start();
      assertTrue(rig.function.setMemory(rig.memory()));
      owner.deaf = true;
      Thread.currentThread().interrupt();
      assertFalse(rig.function.setMemory(GuestMemory.EMPTY));
      assertTrue(Thread.interrupted());
      Thread.currentThread().interrupt();
      rig.setConfig(4, 2, 2);
      assertTrue(Thread.interrupted());
      Thread.currentThread().interrupt();
      assertFalse(rig.function.setMemory(GuestMemory.EMPTY));
      assertTrue(Thread.interrupted());
      owner.deaf = false;
      assertTrue(rig.function.setMemory(rig.memory()));
    }
  }

  @Test
  void aMessageIsNeverHalfOfAnother() throws InterruptedException {
    Queue<FunctionRig.Message> torn = new ConcurrentLinkedQueue<>();
    AtomicInteger sent = new AtomicInteger();
    PciInterrupts out =
        new PciInterrupts() {
          @Override
          public void intx(boolean asserted) {}

          @Override
          public void msix(int vector, long address, int data) {
            sent.incrementAndGet();
            if (address >>> 4 != data) {
              torn.add(new FunctionRig.Message(vector, address, data));
            }
          }
        };
    MsixTable table = new MsixTable(1, out, false, new AccessCounters());
    table.setOpen(true);
    Thread driver =
        Thread.ofPlatform()
            .start(
                () -> {
                  for (int i = 1; i < 1_000_000; i++) {
                    table.write(12, 4, 1);
                    table.write(0, 4, i << 4);
                    table.write(8, 4, i);
                    table.write(12, 4, 0);
                  }
                });
    List<Thread> device = new ArrayList<>();
    for (int i = 0; i < 4; i++) { // more than processors, so that each is stopped anywhere
      device.add(
          Thread.ofPlatform()
              .start(
                  () -> {
                    while (driver.isAlive()) {
                      table.fire(0);
                    }
                  }));
    }
    driver.join();
    for (Thread thread : device) {
      thread.join();
    }
    assertEquals(List.of(), List.copyOf(torn));
    assertTrue(sent.get() > 0);
  }
}
