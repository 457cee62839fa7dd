// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.linux;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.linux.LoopHarness.Counting;
import io.jvirtio.raw.RawMemory;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Needs a kernel whose io_uring this process may use. */
@Timeout(120)
class IoUringTest {
  private static final int BLOCK = 4096;
  private static final int BLOCKS = 256;
  private static final Duration DEADLINE = Duration.ofSeconds(30);

  @TempDir Path directory;
  private final Arena arena = Arena.ofShared();
  private final MemorySegment memory = arena.allocate(BLOCK * BLOCKS, BLOCK);
  private final Map<Long, Integer> results = new HashMap<>();
  private OpenFds before;
  private RawFile file;
  private IoUring ring;

  @BeforeEach
  void open() throws IOException {
    before = OpenFds.now();
    Path path = directory.resolve("image");
    file = RawFile.open(path, OpenFlag.READ_WRITE, OpenFlag.CREATE);
    file.resize(BLOCK * BLOCKS);
    assertTrue(IoUring.isAvailable(), "this kernel has no io_uring for us");
    ring = IoUring.open(8).orElseThrow();
  }

  @AfterEach
  void close() throws IOException {
    ring.close();
    ring.close();
    file.close();
    before.assertUnchanged();
    arena.close();
  }

  private int fd() {
    return file.fd().value();
  }

  private void complete(long userData, int result) {
    assertEquals(null, results.put(userData, result), "completed twice");
  }

  /** Submits, and waits until nothing is under way. */
  private void finish() throws LinuxException {
    ring.submit();
    while (ring.inFlight() > 0) {
      assertTrue(ring.awaitCompletions(DEADLINE), "no completion in time");
      ring.reap(this::complete);
    }
    assertEquals(0, ring.unsubmitted());
    assertFalse(ring.hasCompletions());
  }

  private long block(int number) {
    return memory.address() + (long) number * BLOCK;
  }

  @Test
  void readsAndWritesByAddress() throws IOException {
    RawMemory.putLong(block(0), 0x1234);
    ring.prepWrite(fd(), block(0), BLOCK, 3 * BLOCK, 7, RawFile.RWF_DSYNC);
    finish();
    ring.prepRead(fd(), block(1), BLOCK, 3 * BLOCK, 8, 0);
    ring.prepRead(fd(), block(2), BLOCK, BLOCK * BLOCKS - 10, 9, 0);
    assertEquals(2, ring.unsubmitted());
    assertEquals(2, ring.submit());
    finish();
    assertEquals(Map.of(7L, BLOCK, 8L, BLOCK, 9L, 10), results);
    assertEquals(0x1234, RawMemory.getLong(block(1)));
  }

  @Test
  void vectorsMayBeReusedAfterSubmission() throws IOException {
    Iovecs iovecs = new Iovecs(2);
    for (int i = 0; i < 8; i++) {
      RawMemory.putInt(block(2 * i), 100 + i);
      RawMemory.putInt(block(2 * i + 1), 200 + i);
      iovecs.set(0, block(2 * i), 4);
      iovecs.set(1, block(2 * i + 1), 4);
      ring.prepWritev(fd(), iovecs.address(0), 2, i * 8, i, 0);
      assertEquals(1, ring.submit());
      iovecs.set(0, 0, 1);
    }
    finish();
    iovecs.set(0, block(100), 4);
    iovecs.set(1, block(101), 60);
    ring.prepReadv(fd(), iovecs.address(0), 2, 0, 99, 0);
    finish();
    assertEquals(64, results.get(99L));
    assertEquals(100, RawMemory.getInt(block(100)));
    assertEquals(200, RawMemory.getInt(block(101)));
    assertEquals(207, RawMemory.getInt(block(101) + 56));
  }

  @Test
  void syncsAndFallocates() throws IOException {
    memory.fill((byte) 1);
    ring.prepWrite(fd(), block(0), BLOCK * BLOCKS, 0, 1, 0);
    finish();
    ring.prepFsync(fd(), true, 2);
    ring.prepFsync(fd(), false, 3);
    finish();
    long allocated = file.status().allocated();
    int mode = RawFile.FALLOC_FL_PUNCH_HOLE | RawFile.FALLOC_FL_KEEP_SIZE;
    ring.prepFallocate(fd(), mode, 0, BLOCK * BLOCKS / 2, 4);
    finish();
    assertEquals(Map.of(1L, BLOCK * BLOCKS, 2L, 0, 3L, 0, 4L, 0), results);
    assertTrue(file.status().allocated() < allocated);
    assertEquals(0, Files.readAllBytes(file.path())[0]);
  }

  @Test
  void errorsAreResults() throws IOException {
    try (Truncated truncated = new Truncated();
        RawFile readOnly = RawFile.open(file.path(), OpenFlag.READ_ONLY)) {
      ring.prepRead(99_999, block(0), BLOCK, 0, 1, 0);
      ring.prepRead(fd(), truncated.mapping.address(), BLOCK, 0, 2, 0);
      ring.prepWrite(readOnly.fd().value(), block(0), BLOCK, 0, 3, 0);
      ring.prepFallocate(fd(), 0, 0, 0, 4);
      ring.prepRead(fd(), block(0), BLOCK, 0, 5, 0);
      finish();
      Map<Long, Integer> expected =
          Map.of(
              1L, -Errno.EBADF, 2L, -Errno.EFAULT, 3L, -Errno.EBADF, 4L, -Errno.EINVAL, 5L, BLOCK);
      assertEquals(expected, results);
    }
  }

  @Test
  void registeredFilesAreNamedByIndex() throws IOException {
    Path other = Files.write(directory.resolve("other"), new byte[] {42});
    try (RawFile second = RawFile.open(other, OpenFlag.READ_ONLY)) {
      ring.registerFiles(fd(), second.fd().value());
      ring.prepRead(IoUring.registered(1), block(0), BLOCK, 0, 1, 0);
      ring.prepRead(IoUring.registered(0), block(1), BLOCK, 0, 2, 0);
      ring.prepRead(IoUring.registered(2), block(2), BLOCK, 0, 3, 0);
      finish();
      assertEquals(Map.of(1L, 1, 2L, BLOCK, 3L, -Errno.EBADF), results);
      assertEquals(42, RawMemory.getByte(block(0)));
      LinuxException e = assertThrows(LinuxException.class, () -> ring.registerFiles(fd()));
      assertEquals(Errno.EBUSY, e.errno());
    }
  }

  @Test
  void aFullRingSaysSoAndGoesOn() throws IOException {
    int entries = ring.free();
    assertEquals(8, entries);
    for (int i = 0; i < entries; i++) {
      ring.prepNop(i);
    }
    assertEquals(0, ring.free());
    assertThrows(IllegalStateException.class, () -> ring.prepNop(99));
    assertEquals(entries, ring.submit());
    assertEquals(0, ring.submit());
    // Nobody reaps: at most as many are under way as the completion queue holds.
    int submitted = entries;
    while (ring.free() > 0) {
      ring.prepNop(submitted++);
      ring.submit();
    }
    assertEquals(4 * entries, submitted);
    assertEquals(submitted, ring.inFlight());
    finish();
    assertEquals(submitted, results.size());
    assertEquals(entries, ring.free());
  }

  @Test
  void manyMoreOperationsThanTheRingHolds() throws IOException {
    for (int i = 0; i < BLOCKS; i++) {
      RawMemory.putInt(block(i), i);
      while (ring.free() == 0) {
        ring.submit();
        assertTrue(ring.awaitCompletions(DEADLINE));
        ring.reap(this::complete);
      }
      ring.prepWrite(fd(), block(i), BLOCK, (long) i * BLOCK, i, 0);
    }
    finish();
    assertEquals(BLOCKS, results.size());
    results.values().forEach(r -> assertEquals(BLOCK, r));
    memory.fill((byte) 0);
    assertEquals(BLOCK * BLOCKS, file.pread(memory.address(), BLOCK * BLOCKS, 0));
    for (int i = 0; i < BLOCKS; i++) {
      assertEquals(i, RawMemory.getInt(block(i)));
    }
  }

  @Test
  void aHandlerMayPrepareAndSubmit() throws IOException {
    int[] left = {1000};
    IoUring.CompletionHandler again =
        new IoUring.CompletionHandler() {
          @Override
          public void complete(long userData, int result) {
            assertEquals(BLOCK, result);
            if (left[0]-- > 0) {
              ring.prepRead(fd(), block(0), BLOCK, 0, userData + 1, 0);
              ring.submit();
            }
          }
        };
    ring.prepRead(fd(), block(0), BLOCK, 0, 0, 0);
    ring.submit();
    while (ring.inFlight() > 0) {
      assertTrue(ring.awaitCompletions(DEADLINE));
      ring.reap(again);
    }
    assertEquals(-1, left[0]);
  }

  @Test
  void aHandlerThatThrowsLosesNothing() throws IOException {
    for (int i = 0; i < 4; i++) {
      ring.prepNop(i);
    }
    assertEquals(4, ring.submitAndWait(4));
    assertThrows(
        IllegalStateException.class,
        () ->
            ring.reap(
                (userData, result) -> {
                  throw new IllegalStateException("handler");
                }));
    assertEquals(3, ring.inFlight());
    assertEquals(3, ring.reap(this::complete));
    assertEquals(0, ring.inFlight());
  }

  @Test
  void onlyTheThreadThatOpenedItSubmits() throws Exception {
    ring.prepNop(1);
    CompletableFuture<IllegalStateException> other =
        CompletableFuture.supplyAsync(
            () -> assertThrows(IllegalStateException.class, () -> ring.submit()));
    String message = other.get(30, TimeUnit.SECONDS).getMessage();
    assertTrue(message.contains("did not open it"), message);
    finish();
    assertEquals(Map.of(1L, 0), results);
  }

  @Test
  void waitingEndsWithoutCompletions() throws LinuxException {
    assertFalse(ring.awaitCompletions(Duration.ofMillis(5)));
    assertEquals(0, ring.reap(this::complete));
  }

  @Test
  void closeWaitsForWhatIsUnderWay() throws Exception {
    try (UnixSocketPair pair = new UnixSocketPair(null)) {
      ring.prepRead(pair.a.fd().value(), block(0), 8, 0, 1, 0);
      ring.submit();
      assertFalse(ring.hasCompletions());
      RawMemory.putLong(block(1), 77);
      CompletableFuture<Void> sent =
          CompletableFuture.runAsync(
              () -> {
                try {
                  pair.b.send(memory.asSlice(BLOCK, 8), 8);
                } catch (IOException e) {
                  throw new AssertionError(e);
                }
              });
      ring.close();
      assertEquals(77, RawMemory.getLong(block(0)));
      sent.get(30, TimeUnit.SECONDS);
    }
  }

  @Test
  void completionsWakeASleepingLoop() throws Exception {
    int rounds = 2000;
    CountDownLatch done = new CountDownLatch(rounds);
    try (UnixSocketPair pair = new UnixSocketPair(null);
        LoopHarness harness = new LoopHarness(LoopMode.EVENT)) {
      IoUring inLoop = harness.call(() -> IoUring.open(4).orElseThrow());
      int socket = pair.a.fd().value();
      Counting source =
          new Counting() {
            @Override
            public boolean poll() {
              int worked = inLoop.submit();
              worked += inLoop.reap((userData, result) -> next(inLoop, socket, done));
              return worked > 0;
            }

            @Override
            public boolean arm() {
              return inLoop.unsubmitted() == 0 && !inLoop.hasCompletions();
            }
          };
      harness.run(
          () -> {
            harness.loop.watch(inLoop.fd());
            inLoop.prepRead(socket, block(0), 8, 0, 1, 0);
            harness.loop.addSource(source);
          });
      for (int i = 0; i < rounds; i++) {
        pair.b.send(memory.asSlice(BLOCK, 8), 8);
        while (done.getCount() > rounds - i - 1) {
          Thread.onSpinWait();
        }
      }
      LoopHarness.await(done);
      harness.run(
          () -> {
            harness.loop.removeSource(source);
            harness.loop.unwatch(inLoop.fd());
            inLoop.close();
          });
      assertTrue(harness.faults.isEmpty());
    }
  }

  private void next(IoUring inLoop, int socket, CountDownLatch done) {
    if (done.getCount() > 1) {
      inLoop.prepRead(socket, block(0), 8, 0, 1, 0);
    }
    done.countDown();
  }

  @Test
  void aCallAllocatesNothing() throws Exception {
    Allocations allocations = new Allocations();
    IoUring.CompletionHandler ignore = (userData, result) -> {};
    long bytes = Long.MAX_VALUE;
    int rounds = 20_000;
    // The interpreter does allocate; how long until the compiler has come depends on the machine.
    long deadline = System.nanoTime() + DEADLINE.toNanos();
    while (bytes >= rounds / 10 && System.nanoTime() < deadline) {
      long start = allocations.ofCurrentThread();
      for (int i = 0; i < rounds; i++) {
        ring.prepRead(fd(), block(0), BLOCK, 0, 1, 0);
        ring.submitAndWait(1);
        ring.reap(ignore);
      }
      bytes = allocations.ofCurrentThread() - start;
    }
    assertTrue(bytes < rounds / 10, bytes + " bytes");
  }

  @Test
  void afterCloseNothingWorksAndNothingBreaks() {
    ring.close();
    assertThrows(IllegalStateException.class, () -> ring.prepNop(1));
    assertThrows(IllegalStateException.class, ring::submit);
    assertThrows(IllegalStateException.class, ring::hasCompletions);
    assertThrows(IllegalStateException.class, () -> ring.reap(this::complete));
  }

  @Test
  void sizesOutOfRange() {
    assertThrows(IllegalArgumentException.class, () -> IoUring.open(0));
    try (IoUring large = IoUring.open(1 << 20).orElseThrow()) {
      assertEquals(32768, large.free());
    }
  }
}
