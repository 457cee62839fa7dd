// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vfio;

import io.jvirtio.device.ConfigSpace;
import io.jvirtio.device.QueueHandler;
import io.jvirtio.device.QueueOwner;
import io.jvirtio.device.SharedMemory;
import io.jvirtio.device.VirtioDevice;
import io.jvirtio.queue.DeviceQueue;
import io.jvirtio.queue.QueueLayout;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicReferenceArray;

/**
 * The device as it is when the client maps none of its memory: the queues run in local memory, and
 * a {@link MirroredQueue} carries over what belongs to them.
 *
 * <p>Settings come from the control thread; the rest is as of the device.
 */
final class Mirrors implements VirtioDevice {
  private static final Logger LOG = System.getLogger(Mirrors.class.getName());

  private final VirtioDevice device;
  private final AtomicReferenceArray<QueueLayout> layouts;
  private final List<MirroredQueue> running = new CopyOnWriteArrayList<>();
  private volatile MirrorMap map = MirrorMap.NONE;
  private volatile DmaChannel channel;
  private volatile FeatureBits features = FeatureBits.NONE;

  Mirrors(VirtioDevice device) {
    this.device = device;
    this.layouts = new AtomicReferenceArray<>(device.queueCount());
  }

  /** The way to a client; null for none. */
  void connect(DmaChannel to) {
    channel = to;
  }

  /** What there is now in the place of the client's memory. */
  void setMap(MirrorMap next) {
    map = next;
  }

  MirrorMap map() {
    return map;
  }

  boolean isUsed() {
    return !map.isEmpty();
  }

  /** A driver puts a queue there. */
  void setLayout(int queue, QueueLayout layout) {
    if (queue >= 0 && queue < layouts.length()) {
      layouts.set(queue, layout);
    }
  }

  /** A driver has written to a register: there may be more buffers. */
  void kicked() {
    for (MirroredQueue queue : running) {
      queue.kicked();
    }
  }

  void ended(MirroredQueue queue) {
    running.remove(queue);
  }

  @Override
  public QueueHandler startQueue(DeviceQueue queue, QueueOwner owner) {
    QueueHandler handler = device.startQueue(queue, owner);
    QueueLayout layout = layouts.get(queue.index());
    if (!isUsed() || layout == null) {
      return handler;
    }
    boolean eventIdx = features.has(ReservedFeatures.VIRTIO_F_EVENT_IDX);
    MirroredQueue mirrored =
        features.has(ReservedFeatures.VIRTIO_F_RING_PACKED)
            ? new MirroredPackedQueue(this, channel, layout, handler, queue)
            : new MirroredSplitQueue(this, channel, layout, eventIdx, handler, queue);
    running.add(mirrored);
    return mirrored;
  }

  @Override
  public boolean accepts(FeatureBits negotiated) {
    if (isUsed() && negotiated.has(ReservedFeatures.VIRTIO_F_IN_ORDER)) {
      LOG.log(
          Level.WARNING, "memory that the client does not share: no in-order use of buffers there");
      return false;
    }
    return device.accepts(negotiated);
  }

  /** The features that were negotiated last, also when the device was reset since. */
  FeatureBits negotiated() {
    return features;
  }

  @Override
  public void negotiated(FeatureBits accepted) {
    features = accepted;
    device.negotiated(accepted);
  }

  @Override
  public int deviceId() {
    return device.deviceId();
  }

  @Override
  public int queueCount() {
    return device.queueCount();
  }

  @Override
  public int queueMaxSize(int queue) {
    return device.queueMaxSize(queue);
  }

  @Override
  public FeatureBits features() {
    return device.features();
  }

  @Override
  public ConfigSpace config() {
    return device.config();
  }

  @Override
  public List<SharedMemory> sharedMemory() {
    return device.sharedMemory();
  }

  @Override
  public int notificationConfigData(int queue) {
    return device.notificationConfigData(queue);
  }

  @Override
  public void reset() {
    device.reset();
  }
}
