// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vhost;

import io.jvirtio.device.QueueOwner;
import io.jvirtio.driver.DriverQueueSet;
import io.jvirtio.driver.DriverTransport;
import io.jvirtio.driver.NegotiationException;
import io.jvirtio.driver.QueueRequest;
import io.jvirtio.driver.TransportListener;
import io.jvirtio.memory.DriverMemory;
import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DriverQueue;
import io.jvirtio.queue.DriverQueueOptions;
import io.jvirtio.spec.DeviceStatus;
import io.jvirtio.spec.DeviceType;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.FeatureNames;
import io.jvirtio.spec.ReservedFeatures;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.ReentrantLock;

/**
 * A device that a vhost-user back-end serves, as its driver sees it: the front-end of the protocol
 * ("Vhost-user Protocol").
 *
 * <p>What the protocol has no word for is settled here. The device type is the caller's word. The
 * device status is kept here unless the protocol feature STATUS carries it. The largest queue size
 * is an option. Without the protocol feature MQ any number of queues may exist. Features above bit
 * 63 cannot be negotiated; neither can VIRTIO_F_ACCESS_PLATFORM, since no IOTLB is served.
 *
 * <p>A daemon thread notices what the back-end does by itself, and calls the {@link
 * TransportListener}. Control plane: one thread at a time, but {@link #close}, which any thread may
 * call and which ends what waits.
 */
public final class VhostUserTransport implements DriverTransport {
  private static final Logger LOG = System.getLogger(VhostUserTransport.class.getName());

  private static final int LOG_ALL = 26;
  private static final FeatureBits HIDDEN =
      FeatureBits.of(
          LOG_ALL,
          ProtocolFeatures.VHOST_USER_F_PROTOCOL_FEATURES,
          ReservedFeatures.VIRTIO_F_ACCESS_PLATFORM);

  private final Path socket;
  private final int deviceId;
  private final VhostUserFrontEndOptions options;
  private final BackEndView view = new BackEndView();
  private final FrontEndMemory memory;
  private final FrontEndMonitor monitor;
  private final DriverQueueSet queues;
  private final ReentrantLock control = new ReentrantLock();
  private final AtomicBoolean closed = new AtomicBoolean();
  private final AtomicInteger generation = new AtomicInteger();
  // By index, replaced as a whole: the owners look up their kick descriptors here.
  private volatile FrontEndVring[] kicks = new FrontEndVring[0];
  private volatile TransportListener listener;
  private volatile FrontEndSession session;

  // Under the control lock.
  private FeatureBits driverFeatures = FeatureBits.NONE;
  private boolean featuresRefused;
  private int status;
  private boolean memoryInUse;

  private VhostUserTransport(Path socket, int deviceId, VhostUserFrontEndOptions options)
      throws IOException {
    this.socket = socket;
    this.deviceId = deviceId;
    this.options = options;
    this.memory = new FrontEndMemory(options, view::add);
    this.queues =
        new DriverQueueSet(
            memory, queue -> kicks[queue.index()].notifyDevice(), this::tellQueueBroken);
    this.monitor = new FrontEndMonitor("vhost-user-monitor", new Monitored());
  }

  /**
   * Connects to a back-end and agrees with it on protocol features. The device is as it was left:
   * reset it.
   *
   * @param socket where the back-end listens
   * @param deviceId the virtio device id, which the protocol does not tell
   * @throws IOException when nobody listens there, or what does breaks the protocol or does not
   *     answer; nothing is left open
   */
  public static VhostUserTransport connect(
      Path socket, int deviceId, VhostUserFrontEndOptions options) throws IOException {
    Objects.requireNonNull(options);
    FrontEndSession first = FrontEndSession.open(socket, options, options.connectTimeout());
    VhostUserTransport transport = null;
    try {
      transport = new VhostUserTransport(socket, deviceId, options);
    } finally {
      if (transport == null) {
        first.close();
      }
    }
    boolean done = false;
    try {
      transport.begin(first);
      done = true;
      return transport;
    } finally {
      if (!done) {
        transport.close();
      }
    }
  }

  private void begin(FrontEndSession next) throws IOException {
    monitor.watch(next);
    session = next;
    view.use(next);
    status = 0;
    driverFeatures = FeatureBits.NONE;
    featuresRefused = false;
  }

  /** Runs on the monitor's thread. */
  private final class Monitored implements FrontEndMonitor.Events {
    @Override
    public void configurationChanged(int times) {
      generation.addAndGet(times);
      TransportListener current = listener;
      if (current != null) {
        current.configurationChanged();
      }
    }

    @Override
    public void vringFailed(int index) {
      LOG.log(Level.WARNING, "{0}: back-end gave up vring {1}", busName(), index);
      queues.breakQueue(index, new PeerFault(FaultReason.DEVICE_NEEDS_RESET, index));
    }

    @Override
    public void lost(IOException reason) {
      if (closed.get()) {
        return;
      }
      LOG.log(Level.WARNING, "{0}: {1}", busName(), reason.getMessage());
      queues.breakAll(new PeerFault(FaultReason.DEVICE_GONE, 0));
      view.vrings().forEach(FrontEndVring::release);
      TransportListener current = listener;
      if (current != null) {
        current.lost(reason);
      }
    }
  }

  private void tellQueueBroken(int index, PeerFault fault) {
    TransportListener current = listener;
    if (current != null) {
      current.queueBroken(index, fault);
    }
  }

  // With the control lock held.
  private FrontEndSession live() throws IOException {
    if (closed.get()) {
      throw new IOException(busName() + " is closed");
    }
    IOException failure = session.channel().failure();
    if (failure != null) {
      throw new IOException(failure.getMessage(), failure);
    }
    return session;
  }

  /** A step of the control plane that gives something back. */
  @FunctionalInterface
  private interface Step<T> {
    T run(FrontEndSession live) throws IOException;
  }

  private <T> T locked(Step<T> step) throws IOException {
    control.lock();
    try {
      return step.run(live());
    } finally {
      control.unlock();
    }
  }

  @Override
  public String busName() {
    return "vhost-user:" + socket;
  }

  @Override
  public int deviceId() {
    return deviceId;
  }

  @Override
  public int vendorId() {
    return 0;
  }

  @Override
  public boolean isLegacy() {
    return false;
  }

  @Override
  public void setListener(TransportListener newListener) {
    listener = newListener;
  }

  @Override
  public DriverMemory memory() {
    return memory;
  }

  /** The protocol features that the back-end offers, as a mask. Any thread. */
  public long offeredProtocolFeatures() {
    return session.offered();
  }

  /** The protocol features that were negotiated, as a mask. Any thread. */
  public long protocolFeatures() {
    return session.negotiated();
  }

  /** How many memory regions the back-end takes, at least 1. Any thread. */
  public long memorySlots() {
    return session.memorySlots();
  }

  /**
   * How many queues the back-end says that it has, 1 to 256; -1 without the protocol feature MQ.
   * Some back-ends of network devices count pairs. Any thread.
   */
  public int announcedQueues() {
    return session.queueNum();
  }

  @Override
  public int status() throws IOException {
    return locked(
        live -> {
          int now = live.has(ProtocolFeatures.STATUS) ? live.channel().getStatus() : status;
          return featuresRefused ? now & ~DeviceStatus.FEATURES_OK : now;
        });
  }

  /**
   * {@inheritDoc}
   *
   * <p>DRIVER_OK starts the queues.
   */
  @Override
  public void writeStatus(int newStatus) throws IOException {
    if (newStatus <= 0 || newStatus > 0xff) {
      throw new IllegalArgumentException("status " + newStatus);
    }
    locked(
        live -> {
          int added = newStatus & ~status;
          if ((added & DeviceStatus.DRIVER_OK) != 0) {
            startVrings();
          }
          if (live.has(ProtocolFeatures.STATUS)) {
            live.channel().setStatus(newStatus);
          } else if ((added & DeviceStatus.FEATURES_OK) != 0) {
            // A back-end that does not like the features may know no other way than to leave.
            live.channel().getFeatures();
          }
          status = newStatus;
          return null;
        });
  }

  private void startVrings() throws IOException {
    for (FrontEndVring vring : view.vrings()) {
      view.start(vring);
      queues.start(vring.index());
    }
  }

  /**
   * {@inheritDoc}
   *
   * <p>Each queue is stopped, so that the back-end lets go of it whatever else it understands; then
   * the device is reset by as many of RESET_DEVICE and STATUS as were negotiated.
   */
  @Override
  public void reset() throws IOException {
    locked(
        live -> {
          view.stopAll();
          if (live.has(ProtocolFeatures.RESET_DEVICE)) {
            live.channel().resetDevice();
          }
          if (live.has(ProtocolFeatures.STATUS)) {
            live.channel().setStatus(0);
            awaitReset(live.channel());
          }
          status = 0;
          driverFeatures = FeatureBits.NONE;
          featuresRefused = false;
          queues.breakAll(new PeerFault(FaultReason.DEVICE_NEEDS_RESET, 0));
          return null;
        });
  }

  private void awaitReset(FrontEndChannel channel) throws IOException {
    long start = System.nanoTime();
    while (channel.getStatus() != 0) {
      if (System.nanoTime() - start > options.replyDeadline().toNanos()) {
        channel.fail("back-end does not reset its device for " + options.replyDeadline());
        throw channel.failure();
      }
      pause(1);
    }
  }

  private static void pause(long millis) throws IOException {
    try {
      TimeUnit.MILLISECONDS.sleep(millis);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IOException("interrupted", e);
    }
  }

  @Override
  public FeatureBits deviceFeatures() throws IOException {
    return locked(live -> new FeatureBits(live.channel().getFeatures(), 0).minus(HIDDEN));
  }

  /**
   * {@inheritDoc}
   *
   * @throws NegotiationException when the device does not offer them, or not VIRTIO_F_VERSION_1,
   *     without which there is nothing that can be driven over vhost-user
   */
  @Override
  public void writeDriverFeatures(FeatureBits features) throws IOException {
    FeatureBits offered = deviceFeatures();
    if (!features.isSubsetOf(offered)) {
      throw new NegotiationException(
          busName() + " does not offer " + FeatureNames.of(deviceId, features.minus(offered)));
    }
    if (!features.has(ReservedFeatures.VIRTIO_F_VERSION_1)) {
      String who = offered.has(ReservedFeatures.VIRTIO_F_VERSION_1) ? "driver" : "back-end";
      throw new NegotiationException(busName() + ": no VIRTIO_F_VERSION_1 of the " + who);
    }
    locked(
        live -> {
          long protocolBit = 1L << ProtocolFeatures.VHOST_USER_F_PROTOCOL_FEATURES;
          try {
            live.channel()
                .setFeatures(features.low() | (live.hasProtocolFeatures() ? protocolBit : 0));
            featuresRefused = false;
          } catch (RequestRefusedException e) {
            // The driver finds out as everywhere: FEATURES_OK does not stay.
            LOG.log(Level.WARNING, "{0}: {1}", busName(), e.getMessage());
            featuresRefused = true;
          }
          driverFeatures = features;
          return null;
        });
  }

  /** 256 where the protocol feature CONFIG was negotiated, else 0. */
  @Override
  public int configSize() throws IOException {
    return locked(
        live -> live.has(ProtocolFeatures.CONFIG) ? VhostUserCodec.MAX_CONFIG_SIZE : 0);
  }

  @Override
  public void readConfig(int offset, byte[] target) throws IOException {
    checkConfigRange(offset, target.length);
    locked(
        live -> {
          checkConfig(live);
          // From the beginning: libvhost-user ignores the offset.
          byte[] bytes = live.channel().getConfig(0, offset + target.length);
          System.arraycopy(bytes, offset, target, 0, target.length);
          return null;
        });
  }

  @Override
  public void writeConfig(int offset, byte[] source) throws IOException {
    checkConfigRange(offset, source.length);
    locked(
        live -> {
          checkConfig(live);
          live.channel().setConfig(offset, source);
          return null;
        });
  }

  private static void checkConfigRange(int offset, int length) {
    int max = VhostUserCodec.MAX_CONFIG_SIZE;
    if (offset < 0 || length <= 0 || length > max || offset > max - length) {
      throw new IllegalArgumentException(length + " bytes of configuration at " + offset);
    }
  }

  private void checkConfig(FrontEndSession live) throws IOException {
    if (!live.has(ProtocolFeatures.CONFIG)) {
      throw new IOException(busName() + " has no configuration space (protocol feature CONFIG)");
    }
  }

  /**
   * How often the back-end has told of a change, or was connected to again; -1 when it cannot tell
   * (BACKEND_REQ).
   */
  @Override
  public int configGeneration() throws IOException {
    return locked(
        live ->
            live.has(ProtocolFeatures.BACKEND_REQ) ? generation.get() & Integer.MAX_VALUE : -1);
  }

  /**
   * {@inheritDoc}
   *
   * <p>What MQ says; twice as many for a network device, whose back-ends count pairs; all that the
   * protocol can name, 256, when it says nothing.
   */
  @Override
  public int queueCount() throws IOException {
    return locked(VhostUserTransport.this::queueCount);
  }

  private int queueCount(FrontEndSession live) {
    int max = VhostUserServer.MAX_QUEUES;
    if (live.queueNum() < 0) {
      return max;
    }
    return deviceId == DeviceType.NETWORK.id() ? Math.min(max, 2 * live.queueNum()) : live.queueNum();
  }

  @Override
  public int queueMaxSize(int queue) throws IOException {
    return queue < 0 || queue >= queueCount() ? 0 : options.maxQueueSize();
  }

  @Override
  public List<DriverQueue> findQueues(List<QueueRequest> requests) throws IOException {
    return locked(
        live -> {
          if (!queues.isEmpty()) {
            throw new IllegalStateException("there are queues already");
          }
          if (requests.size() > queueCount(live)) {
            throw new IOException(
                busName() + " has " + queueCount(live) + " queues, not " + requests.size());
          }
          boolean done = false;
          try {
            List<DriverQueue> made = makeQueues(requests);
            done = true;
            return made;
          } finally {
            if (!done) {
              freeQueues();
            }
          }
        });
  }

  private List<DriverQueue> makeQueues(List<QueueRequest> requests) throws IOException {
    DriverQueue[] made = new DriverQueue[requests.size()];
    for (int i = 0; i < made.length; i++) {
      QueueRequest request = requests.get(i);
      if (request != null) {
        int size = options.maxQueueSize();
        if (request.maxSize() != 0) {
          size = Math.min(size, request.maxSize());
        }
        made[i] =
            queues.add(
                request,
                new DriverQueueOptions(
                    i, request.name(), size, request.maxElements(), driverFeatures, 0, false));
      }
    }
    FrontEndVring[] byIndex = new FrontEndVring[made.length];
    kicks = byIndex;
    view.share();
    for (DriverQueue queue : made) {
      if (queue != null) {
        addVring(queue, byIndex);
      }
    }
    // Without acknowledgements a back-end that refuses something leaves: better found out now.
    session.channel().getFeatures();
    return Arrays.asList(made);
  }

  private void addVring(DriverQueue queue, FrontEndVring[] byIndex) throws IOException {
    int index = queue.index();
    boolean hasCallback = queues.hasCallback(index);
    if (!hasCallback) {
      queue.disableCallback();
    }
    FrontEndVring vring =
        FrontEndVring.create(queue, queues.owner(index), hasCallback, monitor);
    byIndex[index] = vring;
    view.add(vring);
  }

  @Override
  public void deleteQueues() {
    control.lock();
    try {
      freeQueues();
    } finally {
      control.unlock();
    }
  }

  // Whether or not the back-end still lives.
  private void freeQueues() {
    try {
      view.stopAll();
    } catch (IOException e) {
      LOG.log(Level.DEBUG, "{0}: queues not stopped: {1}", busName(), e.getMessage());
    }
    try {
      queues.delete();
    } catch (IOException e) {
      // Its owner may be in the midst of the ring.
      memoryInUse = true;
      LOG.log(Level.ERROR, "{0}: memory stays mapped: {1}", busName(), e.getMessage());
    }
    view.takeVrings().forEach(FrontEndVring::close);
  }

  @Override
  public void synchronizeCallbacks() throws IOException {
    queues.synchronize();
  }

  @Override
  public void setOwner(int queue, QueueOwner owner) throws IOException {
    locked(
        live -> {
          FrontEndVring vring = vring(queue);
          vring.moveTo(owner);
          queues.setOwner(queue, owner);
          return null;
        });
  }

  private FrontEndVring vring(int queue) {
    FrontEndVring[] all = kicks;
    if (queue < 0 || queue >= all.length || all[queue] == null || queues.queue(queue) == null) {
      throw new IllegalArgumentException("no queue " + queue);
    }
    return all[queue];
  }

  /**
   * {@inheritDoc}
   *
   * <p>vhost-user stops vrings one by one, with or without VIRTIO_F_RING_RESET.
   */
  @Override
  public void resetQueue(int queue) throws IOException {
    locked(
        live -> {
          view.stop(vring(queue));
          queues.stop(queue);
          return null;
        });
  }

  @Override
  public void enableQueue(int queue, int newSize) throws IOException {
    locked(
        live -> {
          FrontEndVring vring = vring(queue);
          if (vring.isStarted()) {
            throw new IllegalStateException("queue " + queue + " was not reset");
          }
          vring.queue().reset(newSize);
          if (!queues.hasCallback(queue)) {
            vring.queue().disableCallback();
          }
          view.reconfigure(vring);
          if ((status & DeviceStatus.DRIVER_OK) != 0) {
            view.start(vring);
            queues.start(queue);
          }
          return null;
        });
  }

  @Override
  public boolean canReconnect() {
    return true;
  }

  /**
   * {@inheritDoc}
   *
   * <p>The old connection is closed first. Features must be negotiated again.
   *
   * @throws IOException the last reason why it did not work, when the time is over
   * @throws IllegalStateException when there are queues
   */
  @Override
  public void reconnect(Duration deadline) throws IOException {
    control.lock();
    try {
      if (!queues.isEmpty()) {
        throw new IllegalStateException("queues must be deleted before");
      }
      view.use(null);
      monitor.drop(session);
      long start = System.nanoTime();
      begin(connectAgain(start, deadline.toNanos()));
      generation.incrementAndGet();
    } finally {
      control.unlock();
    }
  }

  private FrontEndSession connectAgain(long start, long nanos) throws IOException {
    while (true) {
      if (closed.get()) {
        throw new IOException(busName() + " is closed");
      }
      long left = Math.max(1, nanos - (System.nanoTime() - start));
      Duration timeout = Duration.ofNanos(Math.min(left, options.connectTimeout().toNanos()));
      try {
        return FrontEndSession.open(socket, options, timeout);
      } catch (IOException e) {
        long pause = options.reconnectInterval().toNanos();
        if (nanos - (System.nanoTime() - start) <= pause) {
          throw new IOException("cannot reconnect to " + socket + ": " + e.getMessage(), e);
        }
        LOG.log(Level.DEBUG, "{0}: {1}", busName(), e.getMessage());
        pause(Math.max(1, TimeUnit.NANOSECONDS.toMillis(pause)));
      }
    }
  }

  /**
   * {@inheritDoc}
   *
   * <p>Stops the queues, closes the connection, and ends the thread. Segments of {@link #memory}
   * must not be used any more: an access to what is no longer mapped ends the process.
   */
  @Override
  public void close() {
    if (!closed.compareAndSet(false, true)) {
      return;
    }
    takeControl();
    try {
      queues.breakAll(new PeerFault(FaultReason.DEVICE_GONE, 0));
      freeQueues();
      if (session != null) {
        monitor.drop(session);
      }
      view.use(null);
      monitor.close();
      List<FrontEndMemory.Slot> slots = view.takeSlots();
      for (FrontEndMemory.Slot slot : slots) {
        if (memoryInUse) {
          slot.file().close();
        } else {
          slot.close();
        }
      }
    } finally {
      control.unlock();
    }
  }

  // A call in progress gets as long as one reply may take; then its connection is closed under it.
  private void takeControl() {
    boolean interrupted = false;
    boolean mine = false;
    try {
      mine = control.tryLock(options.replyDeadline().toNanos(), TimeUnit.NANOSECONDS);
    } catch (InterruptedException e) {
      interrupted = true;
    }
    if (!mine) {
      FrontEndSession current = session;
      if (current != null) {
        current.channel().close();
      }
      control.lock();
    }
    if (interrupted) {
      Thread.currentThread().interrupt();
    }
  }
}
