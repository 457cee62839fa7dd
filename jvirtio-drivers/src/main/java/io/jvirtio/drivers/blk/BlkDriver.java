// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.drivers.blk;

import static io.jvirtio.spec.VirtioBlk.SECTOR_SIZE;

import io.jvirtio.driver.Driver;
import io.jvirtio.driver.DriverDevice;
import io.jvirtio.driver.DriverTransport;
import io.jvirtio.memory.DriverMemory;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.spec.FeatureNames;
import io.jvirtio.spec.ReservedFeatures;
import io.jvirtio.spec.VirtioBlk;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.LongConsumer;

/**
 * A driver of a block device (virtio 1.4, Device Types / Block Device): a disk, for any number of
 * threads.
 *
 * <p>Offsets and lengths are in bytes and multiples of 512. Calls of this class split what is
 * larger than the device takes, and have the pieces done concurrently; when one fails, others may
 * have been done. Requests that overlap in time have no order, and a flush covers what has
 * completed before it.
 *
 * <p>Data in memory shared with the device ({@link #allocate}) goes there in place. Any other
 * segment, on the heap too, is copied on the way.
 *
 * <p>Three ways to wait: {@link #read} and its like do, sleeping, or by doing the owner's work when
 * the caller is the queue's owner; {@link #readAsync} and its like return futures, whose dependents
 * run on the queue's owner unless told otherwise; a {@link BlkIo} tells its callback and allocates
 * nothing.
 *
 * <p>A device that does not answer in the {@link BlkDriverOptions#requestTimeout} is broken, since
 * it may still write where a request told it to; then all requests fail until {@link
 * DriverDevice#recover}. Memory that the driver itself provided is used again only when the device
 * was reset.
 */
public final class BlkDriver implements Driver, AutoCloseable {
  private static final Logger LOG = System.getLogger(BlkDriver.class.getName());
  private static final long LEAST_LOOK_NANOS = TimeUnit.MILLISECONDS.toNanos(1);

  private final DriverDevice device;
  private final BlkDriverOptions options;
  private final BouncePool pool;
  private final BlkQueues queues;
  private final BlkChecks checks;
  private final boolean canFlush;
  private final boolean believesLengths;
  private final BlkInfo info;
  private volatile LongConsumer capacityListener;

  /** What the user has set the cache to; null when nothing. */
  private volatile Boolean wantedWriteback;

  /**
   * Drives a device whose features are final. For {@link BlkDriverType}; users call {@link #open}.
   *
   * @throws IOException when the device is not fit to be used
   */
  BlkDriver(DriverDevice device, BlkDriverOptions options) throws IOException {
    this.device = device;
    this.options = options;
    this.info = BlkInfo.read(device, options);
    this.canFlush = device.hasFeature(VirtioBlk.VIRTIO_BLK_F_FLUSH);
    this.believesLengths = device.hasFeature(ReservedFeatures.VIRTIO_F_VERSION_1);
    this.pool = new BouncePool(device.transport().memory(), options.bounceBytes());
    this.checks = new BlkChecks(device, info.limits(), pool, BlkInfo.capacity(device));
    this.queues = new BlkQueues(this, info, pool);
    boolean started = false;
    try {
      queues.start(null);
      started = true;
    } finally {
      if (!started) {
        remove();
      }
    }
    queues.watch();
  }

  /**
   * Drives a device without a bus: initialises it and is ready when this returns.
   *
   * @param transport of a block device; it belongs to the driver, which closes it
   * @throws IOException when that fails; the transport is then closed
   */
  public static BlkDriver open(DriverTransport transport, BlkDriverOptions options)
      throws IOException {
    return DriverDevice.open(transport, new BlkDriverType(options), BlkDriver.class);
  }

  // ---- what the device is; any thread ----

  /** The device, such as to recover or to freeze it. */
  public DriverDevice device() {
    return device;
  }

  /** The device's name, for people. */
  public String name() {
    return device.name();
  }

  /** The capacity in bytes; the device may change it. */
  public long capacity() {
    return checks.capacity() * SECTOR_SIZE;
  }

  /**
   * Who hears of a new capacity, in bytes; null for nobody. Called on the control thread; must not
   * block.
   */
  public void onCapacityChange(LongConsumer listener) {
    capacityListener = listener;
  }

  /** The block size that suits the device, in bytes: a power of two, at least 512. */
  public int blockSize() {
    return info.blockSize();
  }

  /** Physical block size and sizes that suit the device, when it says. */
  public Optional<BlkTopology> topology() {
    return Optional.ofNullable(info.topology());
  }

  /** Disk-style geometry, when the device has one. */
  public Optional<BlkGeometry> geometry() {
    return Optional.ofNullable(info.geometry());
  }

  /** Whether every change is refused. */
  public boolean isReadOnly() {
    return checks.isReadOnly();
  }

  /** What a single request may be. */
  public BlkLimits limits() {
    return info.limits();
  }

  /** The options it was made with. */
  public BlkDriverOptions options() {
    return options;
  }

  /** The names of the features that were negotiated. */
  public List<String> features() {
    return FeatureNames.of(device.deviceId(), device.features());
  }

  /** Whether flushing makes a difference: if not, a completed write is stable. */
  boolean canFlush() {
    return canFlush;
  }

  /** The queues in use. */
  public List<BlkQueue> queues() {
    return queues.list();
  }

  /** The queue with this number. */
  public BlkQueue queue(int number) {
    return queues.list().get(number);
  }

  /** The queue for this thread: one that it owns, or else always the same. */
  public BlkQueue queue() {
    return queues.ofThisThread();
  }

  // ---- memory and requests ----

  /**
   * Zeroed memory shared with the device, for data that is not to be copied. Not for the hot path.
   *
   * @param bytes positive
   * @throws IOException when there is no more
   */
  public MemorySegment allocate(long bytes) throws IOException {
    return memory().allocate(bytes, bytes < 4096 ? DriverMemory.GRAIN : 4096);
  }

  /**
   * Gives memory back, later if a device that broke may still write to it.
   *
   * @param segment exactly what {@link #allocate} returned, which no request uses any more
   */
  public void release(MemorySegment segment) {
    release(segment, queues.isWhole());
  }

  void release(MemorySegment segment, boolean letGo) {
    if (letGo) {
      memory().release(segment);
    } else {
      pool.quarantine(segment);
    }
  }

  /** An idle request for this device. */
  public BlkIo newIo() {
    return newIo(true);
  }

  BlkIo newIo(boolean copiedByOwner) {
    return new BlkIo(memory(), pool, copiedByOwner);
  }

  /** As {@link BlkQueue#submit} of {@link #queue()}. */
  public void submit(BlkIo io) throws IOException {
    queue().submit(io);
  }

  // ---- calls that wait ----

  /**
   * Reads, until the target is full.
   *
   * @param offset in bytes, a multiple of 512
   * @param target its size is a multiple of 512; on the calling thread it may be anything writable.
   *     After a failure its contents are undefined
   * @throws IllegalArgumentException when offset or size is no multiple of 512
   * @throws IllegalStateException in a callback of the queue's owner, which cannot wait for itself
   * @throws IOException when the range is outside the capacity, the device reports an error, does
   *     not answer in time, or is broken or gone
   */
  public void read(long offset, MemorySegment target) throws IOException {
    checks.checkData(BlkOperation.READ, offset, target);
    run(Splitter.ofData(this, BlkOperation.READ, offset, target));
  }

  /** Writes all of the source; otherwise as {@link #read}. */
  public void write(long offset, MemorySegment source) throws IOException {
    checks.checkData(BlkOperation.WRITE, offset, source);
    run(Splitter.ofData(this, BlkOperation.WRITE, offset, source));
  }

  /** Makes every write stable that has completed, on any queue. */
  public void flush() throws IOException {
    run(Splitter.ofFlush());
  }

  /**
   * Gives a range up: what it reads as afterwards is undefined.
   *
   * @throws UnsupportedOperationException when the device does not offer VIRTIO_BLK_F_DISCARD
   */
  public void discard(long offset, long length) throws IOException {
    checks.checkRange(BlkOperation.DISCARD, offset, length);
    run(Splitter.ofRange(this, BlkOperation.DISCARD, offset, length, false));
  }

  /**
   * Makes a range read as zeroes.
   *
   * @param mayUnmap whether the device may deallocate it
   * @throws UnsupportedOperationException when the device does not offer VIRTIO_BLK_F_WRITE_ZEROES
   */
  public void writeZeroes(long offset, long length, boolean mayUnmap) throws IOException {
    checks.checkRange(BlkOperation.WRITE_ZEROES, offset, length);
    run(Splitter.ofRange(this, BlkOperation.WRITE_ZEROES, offset, length, mayUnmap));
  }

  /**
   * Erases a range such that no copy of its data is left.
   *
   * @throws UnsupportedOperationException when the device does not offer VIRTIO_BLK_F_SECURE_ERASE
   */
  public void secureErase(long offset, long length) throws IOException {
    checks.checkRange(BlkOperation.SECURE_ERASE, offset, length);
    run(Splitter.ofRange(this, BlkOperation.SECURE_ERASE, offset, length, false));
  }

  private void run(Splitter splitter) throws IOException {
    new SyncTransfer(this, queue(), splitter).run();
  }

  /**
   * The device id string (VIRTIO_BLK_T_GET_ID), empty when the device has none.
   *
   * @throws IOException when the device fails, or does not know the request
   */
  public String serial() throws IOException {
    byte[] id = new byte[VirtioBlk.VIRTIO_BLK_ID_BYTES];
    SyncTransfer.single(this, queue(), newIo(false).getId(MemorySegment.ofArray(id)));
    int length = 0;
    while (length < id.length && id[length] != 0) {
      length++;
    }
    return new String(id, 0, length, StandardCharsets.ISO_8859_1);
  }

  /**
   * How worn the storage is (VIRTIO_BLK_T_GET_LIFETIME).
   *
   * @throws UnsupportedOperationException when the device does not offer VIRTIO_BLK_F_LIFETIME
   */
  public BlkLifetime lifetime() throws IOException {
    checks.checkOffered(BlkOperation.GET_LIFETIME);
    MemorySegment bytes = MemorySegment.ofArray(new byte[BlkLifetime.BYTES]);
    SyncTransfer.single(this, queue(), newIo(false).getLifetime(bytes));
    ValueLayout.OfShort le16 = ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    return new BlkLifetime(
        bytes.get(le16, 0) & 0xffff, bytes.get(le16, 2) & 0xffff, bytes.get(le16, 4) & 0xffff);
  }

  // ---- futures ----

  /** As {@link #read}. The target must be accessible to all threads, or shared with the device. */
  public CompletableFuture<Void> readAsync(long offset, MemorySegment target) throws IOException {
    checks.checkData(BlkOperation.READ, offset, target);
    return start(Splitter.ofData(this, BlkOperation.READ, offset, target));
  }

  /** As {@link #write}. The source must be accessible to all threads, or shared with the device. */
  public CompletableFuture<Void> writeAsync(long offset, MemorySegment source) throws IOException {
    checks.checkData(BlkOperation.WRITE, offset, source);
    return start(Splitter.ofData(this, BlkOperation.WRITE, offset, source));
  }

  /** As {@link #flush}. */
  public CompletableFuture<Void> flushAsync() {
    return start(Splitter.ofFlush());
  }

  /** As {@link #discard}. */
  public CompletableFuture<Void> discardAsync(long offset, long length) throws IOException {
    checks.checkRange(BlkOperation.DISCARD, offset, length);
    return start(Splitter.ofRange(this, BlkOperation.DISCARD, offset, length, false));
  }

  /** As {@link #writeZeroes}. */
  public CompletableFuture<Void> writeZeroesAsync(long offset, long length, boolean mayUnmap)
      throws IOException {
    checks.checkRange(BlkOperation.WRITE_ZEROES, offset, length);
    return start(Splitter.ofRange(this, BlkOperation.WRITE_ZEROES, offset, length, mayUnmap));
  }

  private CompletableFuture<Void> start(Splitter splitter) {
    return new AsyncTransfer(this, queue(), splitter).start();
  }

  // ---- the cache ----

  /**
   * Whether completed writes are stable only after a flush (virtio 1.4, Block Device / Device
   * Initialization). Control plane: never on an owner.
   */
  public boolean writeback() throws IOException {
    return device.hasFeature(VirtioBlk.VIRTIO_BLK_F_CONFIG_WCE)
        ? device.config().get("writeback") != 0
        : canFlush;
  }

  /**
   * Changes the cache mode; writing through, it flushes too, so that all that was written before is
   * stable when this returns. Control plane: never on an owner with a thread of its own.
   *
   * @throws UnsupportedOperationException when the device does not offer VIRTIO_BLK_F_CONFIG_WCE
   */
  public void setWriteback(boolean on) throws IOException {
    if (!device.hasFeature(VirtioBlk.VIRTIO_BLK_F_CONFIG_WCE)) {
      throw new UnsupportedOperationException("the device does not offer VIRTIO_BLK_F_CONFIG_WCE");
    }
    device.config().set("writeback", on ? 1 : 0);
    wantedWriteback = on;
    if (!on) {
      flush();
    }
  }

  BlkChecks checks() {
    return checks;
  }

  DriverMemory memory() {
    return device.transport().memory();
  }

  void trimMemory() {
    pool.trim();
  }

  boolean believesLengths() {
    return believesLengths;
  }

  // ---- deadlines ----

  long timeoutNanos() {
    return options.timeoutNanos();
  }

  /** How often requests are looked at that may take too long. */
  long lookEveryNanos() {
    return Math.max(LEAST_LOOK_NANOS, timeoutNanos() / 8);
  }

  /** A queue broke: a device that fails on one is not to be trusted on the others. */
  void broken(PeerFault fault) {
    device.declareBroken(fault);
  }

  // ---- the bus ----

  @Override
  public void configurationChanged() {
    try {
      takeCapacity();
    } catch (IOException e) {
      LOG.log(Level.WARNING, name() + ": the capacity cannot be read", e);
    }
  }

  private void takeCapacity() throws IOException {
    long sectors = BlkInfo.capacity(device);
    if (!checks.changeCapacity(sectors)) {
      return;
    }
    LongConsumer listener = capacityListener;
    if (listener != null) {
      try {
        listener.accept(sectors * SECTOR_SIZE);
      } catch (RuntimeException bug) {
        LOG.log(Level.ERROR, name() + ": who hears of a new capacity failed", bug);
      }
    }
  }

  /**
   * {@inheritDoc}
   *
   * <p>Requests wait; but none longer than the request timeout.
   */
  @Override
  public void freeze() {
    queues.freeze();
  }

  @Override
  public void restore() throws IOException {
    BlkInfo now = BlkInfo.read(device, options);
    if (now.queues() < info.queues() || !now.limits().covers(info.limits())) {
      throw new IOException(name() + " is not the device that it was: " + now);
    }
    // One that was lost has been found again, as after a reset.
    pool.deviceWasReset();
    takeCapacity();
    boolean started = false;
    try {
      queues.start(wantedWriteback);
      started = true;
    } finally {
      if (!started) {
        queues.freeze();
      }
    }
  }

  @Override
  public void remove() {
    queues.remove();
    pool.close();
  }

  /** Lets go of the device: requests in flight fail, and the transport is closed. Idempotent. */
  @Override
  public void close() {
    device.close();
  }

  @Override
  public String toString() {
    return name() + " (" + capacity() + " bytes, " + info.queues() + " queues)";
  }
}
