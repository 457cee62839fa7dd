// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vhost;

import io.jvirtio.device.DeviceHost;
import io.jvirtio.device.HostListener;
import io.jvirtio.device.QueueOwner;
import io.jvirtio.device.VirtioDevice;
import io.jvirtio.linux.EventFd;
import io.jvirtio.linux.Fd;
import io.jvirtio.linux.LinuxException;
import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.QueueLayout;
import io.jvirtio.spec.DeviceStatus;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.nio.ByteBuffer;
import java.util.List;

/**
 * The device as one front-end sees it: translates messages into calls of the {@link DeviceHost}.
 *
 * <p>Control thread only, except the {@link HostListener} part. Inflight tracking and the dirty log
 * will be messages here and fields of {@link Vring}.
 */
final class VhostUserSession implements HostListener {
  private static final Logger LOG = System.getLogger(VhostUserSession.class.getName());

  // The protocol has 0 for a write of the driver and 1 for migration; the Rust front-ends have 1
  // for
  // a write of the driver and 2 for migration.
  private static final int CONFIG_FLAGS = 3;

  private static final int ALL_STEPS =
      DeviceStatus.ACKNOWLEDGE
          | DeviceStatus.DRIVER
          | DeviceStatus.FEATURES_OK
          | DeviceStatus.DRIVER_OK;

  static final long PROTOCOL_FEATURES =
      ProtocolFeatures.mask(
          ProtocolFeatures.MQ,
          ProtocolFeatures.REPLY_ACK,
          ProtocolFeatures.BACKEND_REQ,
          ProtocolFeatures.CONFIG,
          ProtocolFeatures.RESET_DEVICE,
          ProtocolFeatures.CONFIGURE_MEM_SLOTS,
          ProtocolFeatures.STATUS);

  private final DeviceHost host;
  private final Vring[] vrings;
  private final long offeredProtocolFeatures;
  private VhostMemory memory = VhostMemory.EMPTY;
  private long protocolFeatures;
  private boolean protocolFeaturesAccepted;
  private FeatureBits negotiated = FeatureBits.NONE;
  private volatile BackEndChannel channel;

  VhostUserSession(
      VirtioDevice device, FeatureBits ringFeatures, List<? extends QueueOwner> owners) {
    host = new DeviceHost(device, this, ringFeatures);
    // QEMU complains of CONFIG for a device that has no configuration space.
    offeredProtocolFeatures =
        host.config().size() > 0
            ? PROTOCOL_FEATURES
            : PROTOCOL_FEATURES & ~ProtocolFeatures.mask(ProtocolFeatures.CONFIG);
    vrings = new Vring[host.queueCount()];
    for (int i = 0; i < vrings.length; i++) {
      vrings[i] = new Vring(i, owners.get(i % owners.size()));
    }
  }

  boolean hasReplyAck() {
    return hasProtocolFeature(ProtocolFeatures.REPLY_ACK);
  }

  /**
   * Handles one message.
   *
   * @param fds its descriptors; what the session keeps is taken out of the list by it
   * @return the reply, or null when the message has none of its own
   * @throws ProtocolFault when the connection must end
   * @throws PeerFault when the message is refused, but the connection can go on
   */
  ByteBuffer handle(FrontEndMessage message, List<Fd> fds)
      throws ProtocolFault, PeerFault, IOException {
    int needed = message.request().protocolFeature();
    if (needed >= 0 && !hasProtocolFeature(needed)) {
      throw new ProtocolFault(
          message.request() + " without " + ProtocolFeatures.names(1L << needed));
    }
    return switch (message) {
      case FrontEndMessage.Simple simple -> simple(simple.request(), fds);
      case FrontEndMessage.Value value -> value(value.request(), value.value());
      case FrontEndMessage.VringState state -> vringState(state);
      case FrontEndMessage.VringAddress address -> {
        vring(address.index()).setAddress(address);
        startIfReady(address.index());
        yield null;
      }
      case FrontEndMessage.VringFd fd -> vringFd(fd, fds);
      case FrontEndMessage.MemoryTable table -> {
        replaceMemory(VhostMemory.map(table.regions(), fds));
        yield null;
      }
      case FrontEndMessage.MemoryRegion region -> {
        replaceMemory(
            region.request() == VhostUserRequest.ADD_MEM_REG
                ? memory.add(region.region(), fds.getFirst())
                : memory.remove(region.region()));
        yield null;
      }
      case FrontEndMessage.Config config -> config(config);
    };
  }

  private boolean hasProtocolFeature(int bit) {
    return (protocolFeatures >>> bit & 1) != 0;
  }

  private ByteBuffer simple(VhostUserRequest request, List<Fd> fds) throws IOException {
    switch (request) {
      case GET_FEATURES -> {
        long features = host.deviceFeatures().low();
        return VhostUserCodec.reply(
            request, features | 1L << ProtocolFeatures.VHOST_USER_F_PROTOCOL_FEATURES);
      }
      case GET_PROTOCOL_FEATURES -> {
        return VhostUserCodec.reply(request, offeredProtocolFeatures);
      }
      case GET_QUEUE_NUM -> {
        return VhostUserCodec.reply(request, vrings.length);
      }
      case GET_MAX_MEM_SLOTS -> {
        return VhostUserCodec.reply(request, VhostMemory.MAX_SLOTS);
      }
      case GET_STATUS -> {
        return VhostUserCodec.reply(request, host.status());
      }
      case SET_BACKEND_REQ_FD -> {
        BackEndChannel old = channel;
        channel = new BackEndChannel(fds.removeFirst());
        if (old != null) {
          old.close();
        }
      }
      case RESET_DEVICE -> reset();
      case RESET_OWNER -> {
        // Deprecated: "ignore this message, or use it to disable all rings".
        for (int i = 0; i < vrings.length; i++) {
          vrings[i].setEnabled(false);
          stop(i);
        }
      }
      default -> {
        // SET_OWNER: the session begins, which it has done already.
      }
    }
    return null;
  }

  private ByteBuffer value(VhostUserRequest request, long value) throws ProtocolFault {
    switch (request) {
      case SET_FEATURES -> setFeatures(value);
      case SET_PROTOCOL_FEATURES -> {
        if ((value & ~offeredProtocolFeatures) != 0) {
          throw new ProtocolFault(
              "protocol features not offered: "
                  + ProtocolFeatures.names(value & ~offeredProtocolFeatures));
        }
        protocolFeatures = value;
      }
      case SET_STATUS -> setStatus(value);
      default -> throw new IllegalStateException("not dispatched: " + request);
    }
    return null;
  }

  private void setFeatures(long value) throws ProtocolFault {
    long protocolBit = 1L << ProtocolFeatures.VHOST_USER_F_PROTOCOL_FEATURES;
    FeatureBits features = new FeatureBits(value & ~protocolBit, 0);
    if (!features.isSubsetOf(host.deviceFeatures())) {
      throw new ProtocolFault("features not offered: " + features.minus(host.deviceFeatures()));
    }
    protocolFeaturesAccepted = (value & protocolBit) != 0;
    if (features.equals(host.driverFeatures())) {
      return;
    }
    if ((host.status() & (DeviceStatus.FEATURES_OK | DeviceStatus.DRIVER_OK)) != 0) {
      for (Vring vring : vrings) {
        if (vring.isStarted()) {
          throw new ProtocolFault("SET_FEATURES changes features while a vring is started");
        }
      }
      // A front-end without STATUS cannot say that the guest was reset: this says it.
      host.reset();
    }
    host.writeDriverFeatures(features);
  }

  private void setStatus(long value) throws ProtocolFault {
    if ((value & ~0xffL) != 0) {
      throw new ProtocolFault(String.format("SET_STATUS of 0x%x", value));
    }
    if (value == 0) {
      reset();
      return;
    }
    host.writeStatus((int) value);
    noteFeatures();
  }

  private void noteFeatures() {
    if ((host.status() & (DeviceStatus.FEATURES_OK | DeviceStatus.DRIVER_OK)) != 0) {
      negotiated = host.driverFeatures();
    }
  }

  private ByteBuffer vringState(FrontEndMessage.VringState state) throws ProtocolFault, PeerFault {
    Vring vring = vring(state.index());
    switch (state.request()) {
      case SET_VRING_NUM -> {
        int max = host.queueMaxSize(state.index());
        if (state.num() <= 0 || state.num() > max) {
          throw new ProtocolFault(
              "SET_VRING_NUM of " + state.num() + ", at most " + max + " (see --queue-size)");
        }
        vring.setNum(state.num());
      }
      case SET_VRING_BASE -> vring.setBase(state.num(), isPacked());
      case GET_VRING_BASE -> {
        stop(state.index());
        vring.stopped();
        return VhostUserCodec.reply(state.request(), state.index(), vring.base());
      }
      case SET_VRING_ENABLE -> {
        if (state.num() != 0 && state.num() != 1) {
          throw new ProtocolFault("SET_VRING_ENABLE of " + state.num());
        }
        vring.setEnabled(state.num() == 1);
        if (state.num() == 0) {
          stop(state.index());
        }
      }
      default -> throw new IllegalStateException("not dispatched: " + state.request());
    }
    startIfReady(state.index());
    return null;
  }

  private ByteBuffer vringFd(FrontEndMessage.VringFd message, List<Fd> fds)
      throws ProtocolFault, PeerFault {
    Vring vring = vring(message.index());
    EventFd event = null;
    if (message.hasFd()) {
      try {
        event = EventFd.of(fds.removeFirst());
      } catch (LinuxException e) {
        throw new ProtocolFault(message.request() + ": " + e.getMessage());
      }
    }
    switch (message.request()) {
      case SET_VRING_KICK -> {
        boolean pollingChanges = vring.isStarted() && vring.isPolled() != (event == null);
        if (pollingChanges) {
          stop(message.index());
        }
        vring.setKick(event);
        startIfReady(message.index());
      }
      case SET_VRING_CALL -> vring.setCall(event);
      case SET_VRING_ERR -> vring.setError(event);
      default -> throw new IllegalStateException("not dispatched: " + message.request());
    }
    return null;
  }

  private Vring vring(int index) throws ProtocolFault {
    if (index < 0 || index >= vrings.length) {
      throw new ProtocolFault("no vring " + Integer.toUnsignedString(index));
    }
    return vrings[index];
  }

  private boolean isPacked() {
    return host.driverFeatures().has(ReservedFeatures.VIRTIO_F_RING_PACKED);
  }

  private void startIfReady(int index) throws ProtocolFault, PeerFault {
    Vring vring = vrings[index];
    if (vring.isStarted() || !vring.isReady(protocolFeaturesAccepted)) {
      return;
    }
    QueueLayout layout = vring.layout(memory, isPacked());
    if (layout == null) {
      throw new ProtocolFault("vring " + index + " has an address in no memory region");
    }
    if (!host.isLive()) {
      // A front-end starts rings only for a driver that is ready. Without STATUS there is no other
      // word for it, and with it QEMU 7.2 never sends DRIVER_OK for some devices (vhost-user-rng).
      host.writeStatus(ALL_STEPS);
      if (!host.isLive()) {
        throw new ProtocolFault("features cannot be accepted: " + host.driverFeatures());
      }
      noteFeatures();
    }
    vring.started(true);
    host.startQueue(index, layout, vring.owner(), vring.isPolled());
  }

  private void stop(int index) {
    Vring vring = vrings[index];
    if (!vring.isStarted()) {
      return;
    }
    try {
      vring.stoppedAt(host.stopQueue(index), isPacked());
      host.resetQueue(index);
    } catch (PeerFault e) {
      throw new IllegalStateException("vring " + index + " exists", e);
    }
    vring.started(false);
  }

  /**
   * Resets the device. The vrings stop and are disabled but keep their index: QEMU writes status 0
   * when a machine is only paused, asks for the index afterwards, and goes on there.
   */
  private void reset() {
    for (int i = 0; i < vrings.length; i++) {
      stop(i);
      vrings[i].setEnabled(false);
    }
    host.reset();
  }

  private void replaceMemory(VhostMemory next) {
    VhostMemory old = memory;
    host.setMemory(next.guest(), index -> vrings[index].layout(next, isPacked()));
    memory = next;
    old.unmapAllBut(next);
  }

  private ByteBuffer config(FrontEndMessage.Config message) throws PeerFault {
    if (message.request() == VhostUserRequest.GET_CONFIG) {
      byte[] bytes = new byte[message.bytes().length];
      host.config().read(message.offset(), bytes);
      return VhostUserCodec.reply(message.request(), message.offset(), message.flags(), bytes);
    }
    if ((message.flags() & ~CONFIG_FLAGS) != 0) {
      throw new PeerFault(FaultReason.CONFIG_ACCESS_INVALID, message.flags());
    }
    try {
      host.config().write(message.offset(), message.bytes());
    } catch (PeerFault readOnly) {
      // On the target of a migration the front-end restores fields that the driver cannot write;
      // they are this device's own and stay what they are.
      if (message.flags() == 0) {
        throw readOnly;
      }
    }
    return null;
  }

  /** Ends the session: queues stopped, memory unmapped, descriptors closed. */
  void close() {
    BackEndChannel last = channel;
    channel = null;
    for (Vring vring : vrings) {
      vring.silence();
    }
    try {
      reset();
      for (Vring vring : vrings) {
        vring.reset();
      }
      host.setMemory(VhostMemory.EMPTY.guest(), index -> null);
      memory.unmapAllBut(VhostMemory.EMPTY);
      memory = VhostMemory.EMPTY;
    } catch (IllegalStateException stuck) {
      // Something is still in flight into this memory: it stays mapped rather than being pulled
      // away.
      LOG.log(Level.ERROR, "memory of this session stays mapped: {0}", stuck.getMessage());
    } finally {
      if (last != null) {
        last.close();
      }
    }
  }

  VhostUserStats stats() {
    long chains = 0;
    long kicks = 0;
    long sent = 0;
    long suppressed = 0;
    for (int i = 0; i < vrings.length; i++) {
      try {
        chains += host.counters(i).chains();
        sent += host.counters(i).notificationsSent();
        suppressed += host.counters(i).notificationsSuppressed();
      } catch (PeerFault e) {
        throw new IllegalStateException("vring " + i + " exists", e);
      }
      kicks += vrings[i].kicks();
    }
    return new VhostUserStats(
        1, negotiated, protocolFeatures, chains, kicks, sent, suppressed, host.faults(), 0);
  }

  @Override
  public void usedBuffers(int queue) {
    vrings[queue].notifyUsed();
  }

  @Override
  public void configurationChanged() {
    BackEndChannel current = channel;
    if (current != null) {
      current.configurationChanged();
    }
  }

  @Override
  public void queueBroken(int queue, PeerFault fault) {
    vrings[queue].notifyError();
  }
}
