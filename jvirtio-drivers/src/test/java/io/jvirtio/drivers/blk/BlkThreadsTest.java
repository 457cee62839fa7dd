// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.drivers.blk;

import static io.jvirtio.drivers.blk.InlineDisk.heap;
import static io.jvirtio.drivers.blk.InlineDisk.pattern;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.device.InlineOwner;
import io.jvirtio.devices.blk.BlkDevice;
import io.jvirtio.devices.blk.BlkOptions;
import io.jvirtio.devices.blk.MemoryBackend;
import io.jvirtio.driver.DriverDevice;
import io.jvirtio.drivers.Way;
import io.jvirtio.memory.FaultReason;
import io.jvirtio.spec.DeviceType;
import io.jvirtio.spec.VirtioBlk;
import io.jvirtio.testkit.ScriptedTransport;
import io.jvirtio.testkit.ThreadOwner;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.Parameter;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Driver and device on threads of their own, and users on many more. */
@Timeout(value = 5, unit = TimeUnit.MINUTES)
@ParameterizedClass
@EnumSource
class BlkThreadsTest {
  @Parameter Way way;

  private static final int PART = 1 << 20;

  private final MemoryBackend data = new MemoryBackend(64 << 20);
  private final List<ThreadOwner> owners = new ArrayList<>();
  private BlkDriver driver;

  private ThreadOwner owner(String name) {
    ThreadOwner owner = new ThreadOwner(name);
    owners.add(owner);
    return owner;
  }

  private void start(int queues, BlkDriverOptions.Builder how) throws IOException {
    BlkDevice device = new BlkDevice(data, BlkOptions.builder().queues(queues).build());
    driver = BlkDriver.open(way.plug(device, owner("device")), how.queues(queues).build());
  }

  @AfterEach
  void stop() {
    if (driver != null) {
      driver.close();
    }
    owners.forEach(ThreadOwner::close);
  }

  @Test
  void anyThreadMayCall() throws Exception {
    start(2, BlkDriverOptions.builder(owner("a"), owner("b")).maxRequestBytes(65536));
    assertEquals(2, driver.queues().size());
    assertNotSame(driver.queue(0).owner(), driver.queue(1).owner());
    List<Callable<Void>> users = new ArrayList<>();
    for (int i = 0; i < 8; i++) {
      int part = i;
      users.add(() -> use(part));
    }
    try (ExecutorService threads = Executors.newFixedThreadPool(8)) {
      for (Future<Void> user : threads.invokeAll(users)) {
        user.get();
      }
    }
    for (BlkQueue queue : driver.queues()) {
      assertTrue(queue.stats().requests(BlkOperation.WRITE) > 0, queue.toString());
    }
  }

  /** Works on a part of the disk of its own, in memory that no other thread may touch. */
  private Void use(int part) throws IOException {
    try (Arena confined = Arena.ofConfined()) {
      MemorySegment mine = confined.allocate(PART);
      long at = (long) part * PART;
      for (int i = 0; i < 5; i++) {
        byte[] written = pattern(PART, part * 31 + i);
        driver.write(at, mine.copyFrom(heap(written)));
        driver.flush();
        mine.fill((byte) 0);
        driver.read(at, mine);
        assertArrayEquals(written, InlineDisk.bytes(mine));
        driver.writeZeroes(at, 4096, true);
        driver.read(at, mine);
        assertEquals(0, mine.get(java.lang.foreign.ValueLayout.JAVA_BYTE, 4095));
      }
    }
    return null;
  }

  @Test
  void requestsOfManyThreadsEndOnceEach() throws Exception {
    start(1, BlkDriverOptions.builder(owner("a")).queueSize(16));
    AtomicInteger ended = new AtomicInteger();
    int threads = 4;
    int rounds = 5_000;
    CountDownLatch done = new CountDownLatch(threads * 8);
    List<Thread> users = new ArrayList<>();
    for (int i = 0; i < threads; i++) {
      users.add(
          Thread.ofPlatform()
              .start(
                  () -> {
                    for (int j = 0; j < 8; j++) {
                      submitAgainAndAgain(rounds / 8, ended, done);
                    }
                  }));
    }
    for (Thread user : users) {
      user.join();
    }
    assertTrue(done.await(4, TimeUnit.MINUTES));
    assertEquals(threads * (rounds / 8) * 8, ended.get());
    assertEquals(ended.get(), driver.queue(0).stats().requests(BlkOperation.READ));
  }

  private void submitAgainAndAgain(int rounds, AtomicInteger ended, CountDownLatch done) {
    try {
      MemorySegment shared = driver.allocate(512);
      int[] left = {rounds};
      BlkIo io = driver.newIo().read(0).add(shared);
      io.onCompletion(
          now -> {
            assertTrue(driver.queue(0).owner().isOwner());
            ended.incrementAndGet();
            if (--left[0] == 0) {
              done.countDown();
              return;
            }
            try {
              driver.queue(0).submit(now.read(0).add(shared));
            } catch (IOException e) {
              throw new AssertionError(e);
            }
          });
      driver.queue(0).submit(io);
    } catch (IOException e) {
      throw new AssertionError(e);
    }
  }

  @Test
  void anOwnerCannotWaitForItself()
      throws IOException, InterruptedException, ExecutionException, TimeoutException {
    start(1, BlkDriverOptions.builder(owner("a")));
    CompletableFuture<Throwable> thrown = new CompletableFuture<>();
    driver
        .queue(0)
        .owner()
        .execute(
            () ->
                thrown.complete(
                    assertThrows(
                        IllegalStateException.class, () -> driver.read(0, heap(new byte[512])))));
    thrown.get(1, TimeUnit.MINUTES);
    driver.read(0, heap(new byte[512]));
  }

  @Test
  void anInterruptedCallEndsFirst() throws Exception {
    start(1, BlkDriverOptions.builder(owner("a")));
    data.write(0, pattern(PART, 3));
    byte[] target = new byte[PART];
    Thread.currentThread().interrupt();
    driver.read(0, heap(target));
    assertTrue(Thread.interrupted());
    assertArrayEquals(pattern(PART, 3), target);
  }

  @Test
  void closingWhileThreadsWork() throws Exception {
    start(1, BlkDriverOptions.builder(owner("a")));
    CountDownLatch working = new CountDownLatch(4);
    List<CompletableFuture<Void>> users = new ArrayList<>();
    for (int i = 0; i < 4; i++) {
      users.add(
          CompletableFuture.runAsync(
              () -> {
                byte[] target = new byte[65536];
                assertThrows(
                    IOException.class,
                    () -> {
                      while (true) {
                        driver.read(0, heap(target));
                        working.countDown();
                      }
                    });
              },
              task -> Thread.ofPlatform().start(task)));
    }
    assertTrue(working.await(4, TimeUnit.MINUTES));
    driver.close();
    for (CompletableFuture<Void> user : users) {
      user.get(4, TimeUnit.MINUTES);
    }
  }

  @Test
  void freezingWhileThreadsWork() throws Exception {
    start(1, BlkDriverOptions.builder(owner("a")).maxRequestBytes(4096));
    CompletableFuture<Void> user =
        CompletableFuture.runAsync(
            () -> {
              try {
                for (int i = 0; i < 40; i++) {
                  use(1);
                }
              } catch (IOException e) {
                throw new AssertionError(e);
              }
            },
            task -> Thread.ofPlatform().start(task));
    int times = 0;
    while (!user.isDone() && times < 50) {
      driver.device().freeze();
      driver.device().restore();
      times++;
    }
    user.get(4, TimeUnit.MINUTES);
    assertTrue(times > 1, times + " times");
  }

  @Test
  void aQueueThatItsUserPolls() throws Exception {
    InlineOwner mine = new InlineOwner();
    start(1, BlkDriverOptions.builder(mine).polled(true));
    BlkQueue queue = driver.queue(0);
    byte[] written = pattern(PART, 9);
    driver.write(0, heap(written));
    assertArrayEquals(written, data.read(0, PART));
    int[] ended = new int[1];
    BlkIo io = driver.newIo();
    io.onCompletion(
        now -> {
          ended[0]++;
          assertThrows(IllegalStateException.class, queue::poll);
          assertThrows(IllegalStateException.class, driver::flush);
        });
    queue.submit(io.flush());
    long start = System.nanoTime();
    while (ended[0] == 0 && System.nanoTime() - start < ScriptedDisk.LONG.toNanos()) {
      queue.poll();
    }
    assertTrue(io.isOk());
    assertEquals(0, queue.counters().callbacks());
    driver.device().freeze();
    assertFalse(queue.poll());
    queue.submit(io.flush());
    driver.device().restore();
    while (ended[0] == 1 && System.nanoTime() - start < ScriptedDisk.LONG.toNanos()) {
      queue.poll();
    }
    assertTrue(io.isOk());
  }

  @Test
  void aPolledQueueThatBreaks() throws Exception {
    try (ScriptedDisk disk =
        new ScriptedDisk().start(how -> how.polled(true).requestTimeout(Duration.ofMillis(20)))) {
      BlkQueue queue = disk.driver.queue(0);
      assertThrows(IOException.class, () -> disk.driver.read(0, heap(new byte[512])));
      assertThrows(IOException.class, () -> queue.submit(disk.driver.newIo().flush()));
      assertEquals(DriverDevice.State.BROKEN, disk.driver.device().state());
      disk.driver.device().recover(Duration.ofSeconds(10));
      assertEquals(DriverDevice.State.LIVE, disk.driver.device().state());
      BlkIo io = disk.driver.newIo().read(0).add(disk.driver.allocate(512));
      queue.submit(io);
      queue.poll();
      disk.transport.device(0).put(77, 0);
      disk.transport.device(0).publish();
      assertTrue(queue.poll());
      assertTrue(io.isDone() && !io.isOk());
      assertEquals(DriverDevice.State.BROKEN, disk.driver.device().state());
    }
  }

  @ParameterizedTest
  @EnumSource(OnLoss.class)
  void aSilentDeviceIsNoticedThoughNobodyWaits(OnLoss what) throws Exception {
    ScriptedTransport silent = new ScriptedTransport(DeviceType.BLOCK.id());
    byte[] config = new byte[VirtioBlk.CONFIG.size()];
    config[0] = 8;
    driver =
        BlkDriver.open(
            silent.config(config),
            BlkDriverOptions.builder(owner("a"))
                .requestTimeout(Duration.ofMillis(20))
                .onLoss(what)
                .build());
    CompletableFuture<BlkIo> ended = new CompletableFuture<>();
    BlkIo io = driver.newIo().read(0).add(heap(new byte[512])).onCompletion(ended::complete);
    driver.submit(io);
    // With RETRY it is kept first, and fails when the device does not come back.
    ended.get(4, TimeUnit.MINUTES);
    assertTrue(io.failure().getMessage().contains(FaultReason.DEVICE_SILENT.text()));
  }

  @Test
  void onlyAPolledQueueCanBePolled() throws Exception {
    start(1, BlkDriverOptions.builder(owner("a")));
    assertThrows(IllegalStateException.class, () -> driver.queue(0).poll());
  }
}
