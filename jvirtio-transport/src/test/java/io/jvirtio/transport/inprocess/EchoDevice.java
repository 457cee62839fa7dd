// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.inprocess;

import io.jvirtio.device.ConfigSpace;
import io.jvirtio.device.QueueHandler;
import io.jvirtio.device.QueueOwner;
import io.jvirtio.device.VirtioDevice;
import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DescriptorChain;
import io.jvirtio.queue.DeviceQueue;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.Struct;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;

/** Copies what is readable to what is writable, at once or when a test lets it. */
final class EchoDevice implements VirtioDevice {
  static final int MAX_SIZE = 64;
  static final int FEATURE = 5;
  static final int REFUSED_FEATURE = 6;
  static final int HIGH_FEATURE = 125;

  /** How many buffers it has in its hands. */
  final AtomicInteger held = new AtomicInteger();

  /** The last value that the driver wrote to {@code mode}. */
  volatile long mode = -1;

  /** Where a test wants the two sides to meet at ever other points. */
  volatile Shake shake = Shake.NONE;

  private final int queues;
  private final int maxSize;
  private final int deviceId;
  private final ConfigSpace config =
      new ConfigSpace(Struct.named("echo").le64("capacity").le16("mode").u8("mac", 3).size(13))
          .set("capacity", 0x1122334455667788L)
          .set("mode", 0x0102)
          .writable("mode", value -> mode = value);
  private volatile boolean holding;
  private int releaseAfter;
  private volatile boolean faulting;

  EchoDevice(int queues) {
    this(queues, 42);
  }

  /** With an id, since not all devices have a legacy interface. */
  EchoDevice(int queues, int deviceId) {
    this(queues, deviceId, MAX_SIZE);
  }

  EchoDevice(int queues, int deviceId, int maxSize) {
    this.queues = queues;
    this.deviceId = deviceId;
    this.maxSize = maxSize;
  }

  /** Buffers stay in flight from now on. */
  void hold() {
    holding = true;
  }

  /** As {@link #hold}, until a queue was polled so often with something held. */
  void hold(int polls) {
    releaseAfter = polls;
    holding = true;
  }

  /** Everything held is used when a queue is polled next, and nothing is held any more. */
  void release() {
    holding = false;
  }

  /** Finds a rule broken at the next buffer. */
  void fault() {
    faulting = true;
  }

  @Override
  public int deviceId() {
    return deviceId;
  }

  @Override
  public int queueCount() {
    return queues;
  }

  @Override
  public int queueMaxSize(int queue) {
    return maxSize;
  }

  /** Anything but the number of a queue. */
  static int configData(int queue) {
    return 0xfff0 - queue;
  }

  @Override
  public int notificationConfigData(int queue) {
    return configData(queue);
  }

  @Override
  public FeatureBits features() {
    return FeatureBits.of(FEATURE, REFUSED_FEATURE, HIGH_FEATURE);
  }

  @Override
  public boolean accepts(FeatureBits negotiated) {
    return !negotiated.has(REFUSED_FEATURE);
  }

  @Override
  public ConfigSpace config() {
    return config;
  }

  @Override
  public void reset() {
    faulting = false;
  }

  @Override
  public QueueHandler startQueue(DeviceQueue queue, QueueOwner owner) {
    return new Handler(queue);
  }

  private final class Handler implements QueueHandler {
    private final DeviceQueue queue;
    private final List<DescriptorChain> mine = new ArrayList<>();

    Handler(DeviceQueue queue) {
      this.queue = queue;
    }

    @Override
    public void available(DeviceQueue ready) throws PeerFault {
      for (DescriptorChain chain = ready.pop(); chain != null; chain = ready.pop()) {
        if (faulting) {
          throw new PeerFault(FaultReason.REQUEST_MALFORMED, 0);
        }
        if (holding) {
          mine.add(chain);
          held.incrementAndGet();
        } else {
          echo(chain);
        }
      }
    }

    @Override
    public boolean poll() {
      if (holding && !mine.isEmpty() && --releaseAfter == 0) {
        holding = false;
      }
      if (holding || mine.isEmpty()) {
        return false;
      }
      held.addAndGet(-mine.size());
      mine.forEach(this::echo);
      mine.clear();
      return true;
    }

    /** Nothing else wakes the owner for what ends by being polled. */
    @Override
    public boolean arm() {
      return mine.isEmpty() || releaseAfter <= 0;
    }

    private void echo(DescriptorChain chain) {
      shake.pause();
      queue.push(chain, chain.writer().copyFrom(chain.reader()));
    }
  }
}
