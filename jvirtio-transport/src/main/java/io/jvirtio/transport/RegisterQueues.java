// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport;

import io.jvirtio.device.QueueOwner;
import io.jvirtio.driver.DriverQueueSet;
import io.jvirtio.driver.QueueRequest;
import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DriverQueue;
import io.jvirtio.queue.DriverQueueOptions;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.PackedRing;
import io.jvirtio.spec.ReservedFeatures;
import io.jvirtio.spec.SplitRing;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.lang.invoke.VarHandle;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import java.util.concurrent.atomic.AtomicReferenceArray;
import java.util.function.BiConsumer;

/**
 * The queues of a {@link RegisterTransport}. Control thread only, but for what says otherwise.
 *
 * <p>Pair [E]: {@link #setOwner} stores the new owner, fences, and has the new owner look at the
 * ring; the device stores the used idx and notifies, and the notification loads the owner. Either
 * it wakes the new owner, or the new owner's first look finds the buffer.
 */
final class RegisterQueues {
  private static final Logger LOG = System.getLogger(RegisterQueues.class.getName());

  private final DriverRegisters registers;
  private final DeviceReach reach;
  private final BiConsumer<Integer, PeerFault> onBroken;

  /** Which queues the device has, and may touch. */
  private final BitSet held = new BitSet();

  /** Deleted before the device let go of them: their memory is kept until it has. */
  private final List<DriverQueueSet> kept = new ArrayList<>();

  private boolean connected;
  private volatile DriverQueueSet set;

  /** Whom a used buffer notification wakes, by queue; null for nobody. */
  private volatile AtomicReferenceArray<QueueOwner> wake = new AtomicReferenceArray<>(0);

  /** What names the queues in notifications. */
  private volatile int[] ids = {};

  /** Whether notifications have 32 bits. */
  private volatile boolean wide;

  RegisterQueues(
      DriverRegisters registers, DeviceReach reach, BiConsumer<Integer, PeerFault> onBroken) {
    this.registers = registers;
    this.reach = reach;
    this.onBroken = onBroken;
    this.set = newSet();
  }

  private DriverQueueSet newSet() {
    return new DriverQueueSet(registers.memory(), this::ring, onBroken);
  }

  boolean isEmpty() {
    return set.isEmpty();
  }

  /** Whether the device may touch a queue. */
  boolean isHeld() {
    return !held.isEmpty();
  }

  /**
   * Makes the queues. When that fails, the caller deletes what there is by then.
   *
   * @param features that were negotiated
   */
  List<DriverQueue> find(
      List<QueueRequest> requests, FeatureBits features, DriverRegisters.Interrupts interrupts)
      throws IOException {
    AtomicReferenceArray<QueueOwner> owners = new AtomicReferenceArray<>(requests.size());
    List<DriverQueue> made = new ArrayList<>();
    BitSet called = new BitSet();
    for (int i = 0; i < requests.size(); i++) {
      QueueRequest request = requests.get(i);
      made.add(request == null ? null : make(i, request, features));
      if (request != null && request.handler() != null) {
        owners.set(i, request.owner());
        called.set(i);
      }
    }
    wide = features.has(ReservedFeatures.VIRTIO_F_NOTIFICATION_DATA);
    wake = owners;
    nameQueues(made, features);
    connected = true; // or half so, should the device be lost meanwhile
    reach.run(device -> device.connectInterrupts(called, interrupts));
    for (DriverQueue queue : made) {
      if (queue != null) {
        reach.run(device -> device.configureQueue(queue.index(), queue.layout(), wide));
      }
    }
    // All that can fail has been done: what is enabled is only disabled by a reset.
    for (DriverQueue queue : made) {
      if (queue != null) {
        start(queue);
      }
    }
    return made;
  }

  private DriverQueue make(int index, QueueRequest request, FeatureBits features)
      throws IOException {
    String what = registers.name() + ", queue " + index + " (" + request.name() + ")";
    int most = reach.get(device -> device.queueMaxSize(index));
    boolean packed = features.has(ReservedFeatures.VIRTIO_F_RING_PACKED);
    if (most == 0) {
      throw new DeviceAnswerException(what + ": the device does not have it");
    }
    if (packed ? !PackedRing.isValidQueueSize(most) : !SplitRing.isValidQueueSize(most)) {
      throw new DeviceAnswerException(what + ": the device says that its size is " + most);
    }
    if (reach.get(device -> device.isQueueEnabled(index))) {
      throw new DeviceAnswerException(what + ": the device has it enabled, as after no reset");
    }
    boolean own = request.maxSize() != 0 && !registers.isLegacy();
    return set.add(
        request,
        new DriverQueueOptions(
            index,
            request.name(),
            own ? Math.min(most, request.maxSize()) : most,
            request.maxElements(),
            features,
            registers.legacyAlign(),
            registers.isBigEndian()));
  }

  private void nameQueues(List<DriverQueue> made, FeatureBits features) throws IOException {
    int[] names = new int[made.size()];
    for (int i = 0; i < names.length; i++) {
      int queue = i;
      boolean given =
          made.get(i) != null && features.has(ReservedFeatures.VIRTIO_F_NOTIF_CONFIG_DATA);
      names[i] = given ? reach.get(device -> device.notificationConfigData(queue)) : i;
    }
    ids = names;
  }

  private void start(DriverQueue queue) throws IOException {
    held.set(queue.index());
    reach.run(device -> device.enableQueue(queue.index()));
    set.start(queue.index());
  }

  /** Takes everything back, and frees it unless the device may touch it. */
  void delete() throws IOException {
    DriverQueueSet old = set;
    set = newSet();
    wake = new AtomicReferenceArray<>(0);
    disconnect();
    if (!isHeld()) {
      old.delete();
    } else if (!old.isEmpty()) {
      LOG.log(Level.WARNING, "{0} still has queues that are deleted", registers.name());
      kept.add(old);
      old.breakAll(new PeerFault(FaultReason.DEVICE_GONE, 0));
      for (int i = 0; i < ids.length; i++) {
        if (old.queue(i) != null) {
          old.stop(i);
        }
      }
    }
  }

  private void disconnect() {
    if (connected) {
      connected = false;
      try {
        registers.disconnectInterrupts();
      } catch (IOException e) {
        LOG.log(Level.DEBUG, registers.name() + " keeps its interrupts", e);
      }
    }
  }

  /** The device was reset, and has let go of everything. */
  void letGo() throws IOException {
    held.clear();
    for (DriverQueueSet old : List.copyOf(kept)) {
      kept.remove(old);
      old.delete();
    }
  }

  /** Breaks all queues. Any thread. */
  void breakAll(PeerFault fault) {
    set.breakAll(fault);
  }

  void synchronize() throws IOException {
    set.synchronize();
  }

  QueueOwner owner(int queue) throws IOException {
    DriverQueueSet mine = set;
    existing(mine, queue);
    return mine.owner(queue);
  }

  void setOwner(int queue, QueueOwner owner) throws IOException {
    DriverQueueSet mine = set;
    existing(mine, queue);
    if (mine.hasCallback(queue)) {
      // Before the new owner looks at the ring for the first time: pair [E].
      wake.set(queue, owner);
      VarHandle.fullFence();
    }
    mine.setOwner(queue, owner);
  }

  /** No callback runs any more, and the device is asked to let go. */
  void startReset(int queue) throws IOException {
    DriverQueueSet mine = set;
    existing(mine, queue);
    mine.stop(queue);
    reach.run(device -> device.startQueueReset(queue));
  }

  /** The device has reset a queue. */
  void wasReset(int queue) throws IOException {
    if (reach.get(device -> device.isQueueEnabled(queue))) {
      throw new DeviceAnswerException(
          registers.name() + ", queue " + queue + ": the device has it enabled after its reset");
    }
    held.clear(queue);
  }

  void enable(int queue, int newSize) throws IOException {
    DriverQueueSet mine = set;
    DriverQueue enabling = existing(mine, queue);
    if (newSize < 1 || newSize > enabling.maxSize()) {
      throw new IllegalArgumentException(
          "queue size " + newSize + " of at most " + enabling.maxSize());
    }
    if (held.get(queue)) {
      throw new IllegalStateException(enabling + " runs and was not reset");
    }
    DriverQueueSet.onOwner(mine.owner(queue), () -> enabling.reset(newSize));
    reach.run(device -> device.reconnectQueue(queue));
    reach.run(device -> device.configureQueue(queue, enabling.layout(), wide));
    start(enabling);
  }

  private DriverQueue existing(DriverQueueSet mine, int queue) throws IOException {
    DriverQueue found = mine.queue(queue);
    if (found == null) {
      throw new IOException(registers.name() + " has no queue " + queue + " in use");
    }
    return found;
  }

  // --- notifications; any thread -----------------------------------------------------------

  /** What names a queue; its number when it is not in use. */
  int id(int queue) {
    int[] now = ids;
    return queue >= 0 && queue < now.length ? now[queue] : queue;
  }

  /** To the device. */
  private void ring(DriverQueue queue) throws IOException {
    boolean data = wide;
    int id = id(queue.index());
    reach.notifyQueue(queue.index(), data ? queue.notificationData(id) : id, data);
  }

  /** From the device, for one queue. */
  void used(int queue) {
    AtomicReferenceArray<QueueOwner> owners = wake;
    QueueOwner owner = queue < owners.length() ? owners.get(queue) : null; // pair [E]
    if (owner != null) {
      owner.wakeUp();
    }
  }

  /** From the device, for any. */
  void used() {
    AtomicReferenceArray<QueueOwner> owners = wake;
    for (int i = 0; i < owners.length(); i++) {
      used(i);
    }
  }
}
