// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vhost;

import io.jvirtio.device.QueueOwner;
import io.jvirtio.driver.DriverTransport;
import io.jvirtio.driver.NegotiationException;
import io.jvirtio.driver.QueueRequest;
import io.jvirtio.driver.TransportListener;
import io.jvirtio.memory.DriverMemory;
import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DriverQueue;
import io.jvirtio.spec.DeviceStatus;
import io.jvirtio.spec.DeviceType;
import io.jvirtio.spec.FeatureBits;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.atomic.AtomicInteger;

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

  private final Path socket;
  private final int deviceId;
  private final VhostUserFrontEndOptions options;
  private final BackEndView view = new BackEndView();
  private final FrontEndMemory memory;
  private final FrontEndMonitor monitor;
  private final FrontEndQueues queues;
  private final FrontEndControl control;
  private final AtomicInteger generation = new AtomicInteger();
  private volatile TransportListener listener;

  // Under the control lock.
  private final FrontEndStatus status = new FrontEndStatus();

  private VhostUserTransport(Path socket, int deviceId, VhostUserFrontEndOptions options)
      throws IOException {
    this.socket = socket;
    this.deviceId = deviceId;
    this.options = options;
    this.control = new FrontEndControl(busName(), options.replyDeadline());
    this.memory = new FrontEndMemory(options, view::add);
    this.monitor = new FrontEndMonitor("vhost-user-monitor", new Monitored());
    this.queues =
        new FrontEndQueues(memory, view, monitor, options.maxQueueSize(), this::tellQueueBroken);
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
    VhostUserTransport transport = new VhostUserTransport(socket, deviceId, options);
    boolean done = false;
    try {
      transport.begin(FrontEndSession.open(socket, options, options.connectTimeout()));
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
    control.use(next);
    view.use(next);
    status.clear();
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
      queues.breakOne(index, new PeerFault(FaultReason.DEVICE_NEEDS_RESET, index));
    }

    @Override
    public void lost(IOException reason) {
      if (control.isClosed()) {
        return;
      }
      LOG.log(Level.WARNING, "{0}: {1}", busName(), reason.getMessage());
      queues.breakAll(new PeerFault(FaultReason.DEVICE_GONE, 0));
      queues.release();
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

  /** What the back-end offered when it was connected to, nothing hidden. Any thread. */
  public FeatureBits offeredFeatures() {
    return new FeatureBits(control.session().features(), 0);
  }

  /** The protocol features that the back-end offers, as a mask. Any thread. */
  public long offeredProtocolFeatures() {
    return control.session().offered();
  }

  /** The protocol features that were negotiated, as a mask. Any thread. */
  public long protocolFeatures() {
    return control.session().negotiated();
  }

  /** How many memory regions the back-end takes, at least 1. Any thread. */
  public long memorySlots() {
    return control.session().memorySlots();
  }

  /**
   * How many queues the back-end says that it has, 1 to 256; -1 without the protocol feature MQ.
   * Some back-ends of network devices count pairs. Any thread.
   */
  public int announcedQueues() {
    return control.session().queueNum();
  }

  @Override
  public int status() throws IOException {
    return control.call(status::read);
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
    control.call(
        live -> {
          boolean ready = (newStatus & DeviceStatus.DRIVER_OK) != 0;
          if (ready && !status.isDriverOk()) {
            queues.startAll();
          }
          status.write(live, newStatus);
          return null;
        });
  }

  /**
   * {@inheritDoc}
   *
   * <p>Each queue is stopped, so that the back-end lets go of it whatever else it understands; then
   * the device is reset by as many of RESET_DEVICE and STATUS as were negotiated.
   */
  @Override
  public void reset() throws IOException {
    control.call(
        live -> {
          view.stopAll();
          status.reset(live, options.replyDeadline());
          queues.breakAll(new PeerFault(FaultReason.DEVICE_NEEDS_RESET, 0));
          return null;
        });
  }

  @Override
  public FeatureBits deviceFeatures() throws IOException {
    return control.call(FrontEndStatus::offered);
  }

  /**
   * {@inheritDoc}
   *
   * @throws NegotiationException when the device does not offer them, or not VIRTIO_F_VERSION_1,
   *     without which there is nothing that can be driven over vhost-user
   */
  @Override
  public void writeDriverFeatures(FeatureBits features) throws IOException {
    control.call(
        live -> {
          status.accept(live, deviceId, features);
          return null;
        });
  }

  @Override // All that the protocol can carry.
  public int configSize() throws IOException {
    return control.call(
        live -> live.has(ProtocolFeatures.CONFIG) ? VhostUserCodec.MAX_CONFIG_SIZE : 0);
  }

  @Override
  public void readConfig(int offset, byte[] target) throws IOException {
    control.call(
        live -> {
          live.readConfig(offset, target);
          return null;
        });
  }

  @Override
  public void writeConfig(int offset, byte[] source) throws IOException {
    control.call(
        live -> {
          live.writeConfig(offset, source);
          return null;
        });
  }

  /**
   * How often the back-end has told of a change, or was connected to again; -1 when it cannot tell
   * (BACKEND_REQ).
   */
  @Override
  public int configGeneration() throws IOException {
    return control.call(
        live -> live.has(ProtocolFeatures.BACKEND_REQ) ? generation.get() & Integer.MAX_VALUE : -1);
  }

  /**
   * {@inheritDoc}
   *
   * <p>What MQ says; twice as many for a network device, whose back-ends count pairs; all that the
   * protocol can name, 256, when it says nothing.
   */
  @Override
  public int queueCount() throws IOException {
    return control.call(VhostUserTransport.this::queueCount);
  }

  private int queueCount(FrontEndSession live) {
    int max = VhostUserServer.MAX_QUEUES;
    if (live.queueNum() < 0) {
      return max;
    }
    return deviceId == DeviceType.NETWORK.id()
        ? Math.min(max, 2 * live.queueNum())
        : live.queueNum();
  }

  @Override
  public int queueMaxSize(int queue) throws IOException {
    return queue < 0 || queue >= queueCount() ? 0 : options.maxQueueSize();
  }

  @Override
  public List<DriverQueue> findQueues(List<QueueRequest> requests) throws IOException {
    return control.call(
        live -> {
          if (!queues.isEmpty()) {
            throw new IllegalStateException("there are queues already");
          }
          if (requests.size() > queueCount(live)) {
            throw new IOException(
                busName() + " has " + queueCount(live) + " queues, not " + requests.size());
          }
          List<DriverQueue> made = queues.make(requests, status.features());
          boolean done = false;
          try {
            // Without acknowledgements a back-end that refuses something leaves: found out now.
            live.channel().getFeatures();
            done = true;
            return made;
          } finally {
            if (!done) {
              queues.free();
            }
          }
        });
  }

  @Override
  public void deleteQueues() {
    control.lock();
    try {
      queues.free();
    } finally {
      control.unlock();
    }
  }

  @Override
  public void breakQueues(PeerFault fault) {
    queues.breakAll(fault);
  }

  @Override
  public void synchronizeCallbacks() throws IOException {
    queues.synchronize();
  }

  @Override
  public QueueOwner queueOwner(int queue) throws IOException {
    return control.call(live -> queues.owner(queue));
  }

  @Override
  public void setOwner(int queue, QueueOwner owner) throws IOException {
    control.call(
        live -> {
          queues.setOwner(queue, owner);
          return null;
        });
  }

  /**
   * {@inheritDoc}
   *
   * <p>vhost-user stops vrings one by one, with or without VIRTIO_F_RING_RESET.
   */
  @Override
  public void resetQueue(int queue) throws IOException {
    control.call(
        live -> {
          queues.stop(queue);
          return null;
        });
  }

  /** Not needed: GET_VRING_BASE stops one vring, and SET_VRING messages start it again. */
  @Override
  public boolean needsRingReset() {
    return false;
  }

  @Override
  public void enableQueue(int queue, int newSize) throws IOException {
    control.call(
        live -> {
          queues.restart(queue, newSize, status.isDriverOk());
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
   * @throws IOException with the last reason, when the time is over
   */
  @Override
  public void reconnect(Duration deadline) throws IOException {
    control.lock();
    try {
      if (!queues.isEmpty()) {
        throw new IllegalStateException("queues must be deleted before");
      }
      view.use(null);
      monitor.drop(control.session());
      begin(FrontEndSession.openAgain(socket, options, deadline, control::isClosed));
      generation.incrementAndGet();
    } finally {
      control.unlock();
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
    if (!control.close()) {
      return;
    }
    try {
      queues.breakAll(new PeerFault(FaultReason.DEVICE_GONE, 0));
      queues.free();
      if (control.session() != null) {
        monitor.drop(control.session());
      }
      view.use(null);
      monitor.close();
      view.closeMemory(!queues.isMemoryInUse());
    } finally {
      control.unlock();
    }
  }
}
