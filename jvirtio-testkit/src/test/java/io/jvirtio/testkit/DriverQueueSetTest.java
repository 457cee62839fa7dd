// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.device.InlineOwner;
import io.jvirtio.device.QueueOwner;
import io.jvirtio.driver.DriverQueueSet;
import io.jvirtio.driver.QueueRequest;
import io.jvirtio.driver.UsedBufferHandler;
import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DriverBuffer;
import io.jvirtio.queue.DriverQueue;
import io.jvirtio.queue.DriverQueueOptions;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** Where a driver's queues run, and what happens there when something goes wrong. */
class DriverQueueSetTest {
  private static final Duration SHORT = Duration.ofMillis(50);

  private final TestDriverMemory memory = new TestDriverMemory();
  private final List<String> told = Collections.synchronizedList(new ArrayList<>());
  private final InlineOwner inline = new InlineOwner();
  private DriverQueueSet set =
      new DriverQueueSet(memory, queue -> {}, (queue, fault) -> tell(queue, fault));

  private void tell(int queue, PeerFault fault) {
    told.add("queue " + queue + ": " + fault.reason());
  }

  @AfterEach
  void freeMemory() {
    memory.close();
  }

  /** Takes everything, and counts. */
  private class Handler implements UsedBufferHandler {
    final List<Object> got = Collections.synchronizedList(new ArrayList<>());
    final List<PeerFault> faults = Collections.synchronizedList(new ArrayList<>());
    volatile Thread thread;
    volatile int calls;

    @Override
    public void used(DriverQueue queue) throws PeerFault {
      thread = Thread.currentThread();
      calls++;
      for (Object token = queue.get(); token != null; token = queue.get()) {
        got.add(token);
      }
    }

    @Override
    public void broken(DriverQueue queue, PeerFault fault) {
      thread = Thread.currentThread();
      faults.add(fault);
      told.add("handler " + queue.index());
    }
  }

  private DriverQueue add(int index, UsedBufferHandler handler, QueueOwner owner)
      throws IOException {
    DriverQueue queue =
        set.add(
            new QueueRequest("test", 0, 4, handler, owner),
            new DriverQueueOptions(
                index, "test", 8, 4, DriverSession.EVENT_IDX.features(), 0, false));
    set.start(index);
    return queue;
  }

  private ScriptedDevice device(DriverQueue queue) {
    return new ScriptedDevice(
        memory,
        queue.layout(),
        DriverSession.EVENT_IDX.features(),
        DriverSession.EVENT_IDX.order());
  }

  private void submit(DriverQueue queue, Object token) throws PeerFault, IOException {
    assertTrue(
        queue.add(new DriverBuffer(memory, 1).writable(memory.allocate(64, 64)), token), "full");
    queue.kick();
  }

  private static void await(BooleanSupplier condition) throws InterruptedException {
    long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(30);
    while (!condition.getAsBoolean()) {
      assertTrue(System.nanoTime() < end, "waited for 30 s");
      Thread.sleep(1);
    }
  }

  @Test
  @Requirement(
      section = "Split Virtqueues / Used Buffer Notification Suppression",
      text = "The driver MUST handle spurious notifications from the device.")
  void theCallbackRunsForUsedBuffersAndForNothingElse() throws Exception {
    Handler handler = new Handler();
    DriverQueue queue = add(0, handler, inline);
    ScriptedDevice device = device(queue);
    inline.runUntilIdle();
    inline.runUntilIdle();
    assertEquals(0, handler.calls, "spurious");
    submit(queue, "a");
    submit(queue, "b");
    inline.runUntilIdle();
    assertEquals(0, handler.calls);
    assertTrue(device.use(device.take(), 0), "armed while the owner sleeps");
    assertFalse(device.use(device.take(), 0));
    inline.runUntilIdle();
    assertEquals(List.of("a", "b"), handler.got);
    assertEquals(1, handler.calls);
    assertEquals(1, queue.counters().callbacks());
    assertTrue(set.hasCallback(0));
    assertSame(queue, set.queue(0));
    assertSame(inline, set.owner(0));
    assertNull(set.queue(1));
  }

  @Test
  void theCallbackRunsDisabledAndIsEnabledBeforeSleep() throws Exception {
    List<Integer> events = new ArrayList<>();
    ScriptedDevice[] device = new ScriptedDevice[1];
    Handler handler =
        new Handler() {
          @Override
          public void used(DriverQueue queue) throws PeerFault {
            // One that lands while the callback runs does not notify.
            if (got.isEmpty()) {
              events.add(device[0].use(device[0].take(), 0) ? 1 : 0);
            }
            super.used(queue);
          }
        };
    DriverQueue queue = add(0, handler, inline);
    device[0] = device(queue);
    submit(queue, "a");
    submit(queue, "b");
    inline.runUntilIdle();
    device[0].use(device[0].take(), 0);
    inline.runUntilIdle();
    assertEquals(List.of(0), events);
    assertEquals(List.of("a", "b"), handler.got);
    submit(queue, "c");
    assertTrue(device[0].use(device[0].take(), 0));
  }

  @Test
  void aQueueWithoutACallbackIsPolledByItsOwner() throws Exception {
    DriverQueue queue = add(0, null, inline);
    assertFalse(set.hasCallback(0));
    ScriptedDevice device = device(queue);
    submit(queue, "a");
    device.use(device.take(), 0);
    inline.runUntilIdle();
    assertEquals("a", queue.get());
    set.stop(0);
    set.delete();
  }

  @Test
  void aStoppedCallbackDoesNotRunUntilItIsStarted() throws Exception {
    Handler handler = new Handler();
    DriverQueue queue = add(0, handler, inline);
    ScriptedDevice device = device(queue);
    set.stop(0);
    set.stop(0);
    submit(queue, "a");
    device.use(device.take(), 0);
    inline.runUntilIdle();
    assertEquals(List.of(), handler.got);
    set.start(0);
    set.start(0);
    inline.runUntilIdle();
    assertEquals(List.of("a"), handler.got);
    assertEquals(1, handler.calls);
  }

  @Test
  void aBrokenQueueIsToldOnceAndTheOthersGoOn() throws Exception {
    Handler liar = new Handler();
    Handler other = new Handler();
    DriverQueue broken = add(0, liar, inline);
    DriverQueue whole = add(1, other, inline);
    submit(broken, "lost");
    submit(whole, "a");
    ScriptedDevice device = device(broken);
    device.put(99, 0);
    device.publish();
    ScriptedDevice honest = device(whole);
    honest.use(honest.take(), 0);
    inline.runUntilIdle();
    inline.runUntilIdle();
    assertEquals(List.of("handler 0", "queue 0: USED_ID_OUT_OF_RANGE"), told);
    assertEquals(1, liar.faults.size());
    assertEquals(List.of("a"), other.got);
    set.setOwner(0, new InlineOwner());
    ((InlineOwner) set.owner(0)).runUntilIdle();
    set.setOwner(0, inline);
    inline.runUntilIdle();
    assertEquals(1, liar.faults.size(), "a move does not tell it again");
    assertEquals("lost", broken.detachUnused());
    set.stop(0);
    broken.reset(8);
    set.start(0);
    submit(broken, "again");
    device = device(broken);
    device.use(device.take(), 0);
    inline.runUntilIdle();
    assertEquals(List.of("again"), liar.got);
    set.breakQueue(0, new PeerFault(FaultReason.DEVICE_SILENT, 0));
    set.breakQueue(7, new PeerFault(FaultReason.DEVICE_SILENT, 0));
    inline.runUntilIdle();
    assertEquals(2, liar.faults.size(), "told again after a reset");
  }

  @Test
  void whatAHandlerThrowsBreaksItsQueue() throws Exception {
    Throwable[] thrown = {
      new IllegalStateException("a bug"),
      new StackOverflowError(),
      new InternalError("a fault occurred in an unsafe memory access operation"),
      new PeerFault(FaultReason.REQUEST_MALFORMED, 3)
    };
    FaultReason[] reasons = {
      FaultReason.DRIVER_ERROR,
      FaultReason.DRIVER_ERROR,
      FaultReason.MEMORY_VANISHED,
      FaultReason.REQUEST_MALFORMED
    };
    for (String where : List.of("used", "poll", "arm", "broken")) {
      for (int i = 0; i < thrown.length; i++) {
        if (thrown[i] instanceof PeerFault && (where.equals("arm") || where.equals("broken"))) {
          continue;
        }
        Handler handler = new Handler();
        told.clear();
        DriverQueue queue = add(0, new ThrowingHandler(where, thrown[i], handler), inline);
        submit(queue, "a");
        ScriptedDevice device = device(queue);
        if (where.equals("broken")) {
          queue.breakQueue(new PeerFault(FaultReason.DEVICE_GONE, 0));
        } else {
          device.use(device.take(), 0);
        }
        inline.runUntilIdle();
        inline.runUntilIdle();
        FaultReason reason = where.equals("broken") ? FaultReason.DEVICE_GONE : reasons[i];
        assertEquals(reason, queue.fault().reason(), where + " throws " + thrown[i]);
        assertEquals(1, handler.faults.size());
        assertEquals(List.of("handler 0", "queue 0: " + reason), told);
        set.delete();
      }
    }
  }

  @Test
  void workOfOtherThreadsIsPolledAndKeepsTheOwnerAwake() throws Exception {
    List<String> work = new ArrayList<>(List.of("a", "b"));
    Handler handler =
        new Handler() {
          @Override
          public boolean poll(DriverQueue queue) {
            if (work.isEmpty()) {
              return false;
            }
            got.add(work.removeFirst());
            return true;
          }

          @Override
          public boolean arm() {
            return work.isEmpty();
          }
        };
    add(0, handler, inline);
    inline.runUntilIdle();
    assertEquals(List.of("a", "b"), handler.got);
  }

  @Test
  void anyThreadBreaksAllQueuesAndTheOwnersTellTheHandlers() throws Exception {
    Handler first = new Handler();
    Handler second = new Handler();
    try (ThreadOwner one = new ThreadOwner("one");
        ThreadOwner two = new ThreadOwner("two")) {
      DriverQueue queue = add(0, first, one);
      add(1, second, two);
      set.synchronize();
      set.breakAll(new PeerFault(FaultReason.DEVICE_GONE, 0));
      await(() -> first.faults.size() == 1 && second.faults.size() == 1);
      assertSame(queue.fault(), first.faults.getFirst());
      assertTrue(one.isOwner() == (first.thread == Thread.currentThread()));
      assertEquals("one", first.thread.getName());
      assertEquals("two", second.thread.getName());
      await(() -> told.size() == 4);
      set.breakAll(new PeerFault(FaultReason.DEVICE_SILENT, 0));
      set.synchronize();
      set.synchronize();
      assertEquals(1, first.faults.size());
      assertEquals(FaultReason.DEVICE_GONE, second.faults.getFirst().reason());
      set.delete();
    }
  }

  @Test
  void aQueueMovesToAnotherThread() throws Exception {
    Handler handler = new Handler();
    try (ThreadOwner one = new ThreadOwner("one");
        ThreadOwner two = new ThreadOwner("two")) {
      DriverQueue queue = add(0, handler, one);
      ScriptedDevice device = device(queue);
      for (int i = 0; i < 50; i++) {
        ThreadOwner now = i % 2 == 0 ? one : two;
        set.setOwner(0, now);
        assertSame(now, set.owner(0));
        Object token = i;
        CountDownLatch added = new CountDownLatch(1);
        now.execute(
            () -> {
              try {
                submit(queue, token);
              } catch (PeerFault | IOException e) {
                throw new IllegalStateException(e);
              }
              added.countDown();
            });
        assertTrue(added.await(30, TimeUnit.SECONDS));
        device.use(device.take(), 0);
        now.wake();
        await(() -> handler.got.contains(token));
        assertEquals(i % 2 == 0 ? "one" : "two", handler.thread.getName());
      }
      set.delete();
      assertTrue(set.isEmpty());
    }
  }

  @Test
  void deletedQueuesGiveTheirMemoryBackAndAreBroken() throws Exception {
    Handler handler = new Handler();
    DriverQueue queue = add(0, handler, inline);
    add(1, null, inline);
    set.delete();
    assertTrue(set.isEmpty());
    assertEquals(0, memory.allocated());
    assertEquals(FaultReason.DEVICE_GONE, queue.fault().reason());
    assertThrows(PeerFault.class, () -> queue.add(new DriverBuffer(memory, 1), "late"));
    assertFalse(queue.kick());
    inline.runUntilIdle();
    assertEquals(List.of(), handler.faults, "nothing of the driver runs any more");
    set.delete();
  }

  private static void awaitOn(CountDownLatch latch) {
    try {
      latch.await();
    } catch (InterruptedException e) {
      throw new IllegalStateException(e);
    }
  }

  @Test
  void anOwnerThatDoesNotAnswerIsAnErrorAndKeepsTheMemory() throws Exception {
    set = new DriverQueueSet(memory, queue -> {}, this::tell, SHORT);
    Handler handler = new Handler();
    CountDownLatch release = new CountDownLatch(1);
    try (ThreadOwner owner = new ThreadOwner("stuck")) {
      DriverQueue queue = add(0, handler, owner);
      CountDownLatch stuck = new CountDownLatch(1);
      owner.execute(
          () -> {
            stuck.countDown();
            awaitOn(release);
          });
      assertTrue(stuck.await(30, TimeUnit.SECONDS));
      assertThrows(IOException.class, () -> set.synchronize());
      assertThrows(IOException.class, () -> set.setOwner(0, inline));
      assertSame(owner, set.owner(0));
      assertThrows(IOException.class, () -> set.delete());
      assertTrue(set.isEmpty());
      assertTrue(memory.allocated() > 0, "the stuck owner may still use it");
      assertTrue(queue.isBroken());
      release.countDown();
    }
    assertEquals(0, handler.calls);
  }

  @Test
  void aQueueThatStartedLateStopsAsWell() throws Exception {
    set = new DriverQueueSet(memory, queue -> {}, this::tell, SHORT);
    Handler handler = new Handler();
    CountDownLatch release = new CountDownLatch(1);
    try (ThreadOwner owner = new ThreadOwner("late")) {
      owner.execute(() -> awaitOn(release));
      assertThrows(IOException.class, () -> add(0, handler, owner));
      release.countDown();
      // The queue may run by now: the owner has come to it after all.
      await(
          () -> {
            try {
              set.stop(0);
              return true;
            } catch (IOException e) {
              return false;
            }
          });
      set.breakQueue(0, new PeerFault(FaultReason.DEVICE_GONE, 0));
      set.synchronize();
      set.synchronize();
      set.delete();
      assertEquals(0, memory.allocated());
    }
    assertEquals(List.of(), handler.faults);
  }

  @Test
  void anOwnerThatHasEndedHoldsNothingUp() throws Exception {
    Handler handler = new Handler();
    ThreadOwner owner = new ThreadOwner("ended");
    add(0, handler, owner);
    owner.close();
    set.synchronize();
    set.breakAll(new PeerFault(FaultReason.DEVICE_GONE, 0));
    set.delete();
    assertEquals(0, memory.allocated());
  }

  @Test
  void whatFailsOnTheOwnerIsNotLost() throws Exception {
    try (ThreadOwner owner = new ThreadOwner("fails")) {
      IllegalStateException failure =
          assertThrows(
              IllegalStateException.class,
              () ->
                  DriverQueueSet.onOwner(
                      owner,
                      () -> {
                        throw new IllegalArgumentException("bad");
                      }));
      assertEquals("bad", failure.getCause().getMessage());
      Thread.currentThread().interrupt();
      CountDownLatch release = new CountDownLatch(1);
      assertThrows(IOException.class, () -> DriverQueueSet.onOwner(owner, () -> awaitOn(release)));
      release.countDown();
      assertTrue(Thread.interrupted());
    }
  }
}
