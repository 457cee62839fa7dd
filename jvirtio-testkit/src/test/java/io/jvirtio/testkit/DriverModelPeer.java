// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DescriptorChain;
import io.jvirtio.queue.DeviceQueue;
import io.jvirtio.queue.QueueCounters;

/** The honest device of {@link DriverModel}. */
interface DriverModelPeer {
  /** A buffer in the hands of the device. */
  record Held(Object handle, byte[] readable, long writable) {}

  /** The next available buffer, or null. */
  Held take() throws PeerFault;

  /** Writes into a buffer and gives it back, not yet published. */
  void put(Held held, byte[] answer) throws PeerFault;

  /** Publishes; says whether the driver wants a notification. */
  boolean publish();

  boolean enableNotifications();

  void disableNotifications();

  static DriverModelPeer scripted(ScriptedDevice device) {
    return new DriverModelPeer() {
      @Override
      public Held take() {
        ScriptedDevice.Buffer buffer = device.take();
        return buffer == null ? null : new Held(buffer, buffer.read(), buffer.writableLength());
      }

      @Override
      public void put(Held held, byte[] answer) {
        ScriptedDevice.Buffer buffer = (ScriptedDevice.Buffer) held.handle();
        buffer.write(answer);
        device.put(buffer.head(), answer.length);
      }

      @Override
      public boolean publish() {
        return device.publish();
      }

      @Override
      public boolean enableNotifications() {
        return device.enableNotifications();
      }

      @Override
      public void disableNotifications() {
        device.disableNotifications();
      }
    };
  }

  static DriverModelPeer real(QueuePair pair) throws PeerFault {
    DeviceQueue queue =
        pair.device
            .layout()
            .open(
                3,
                pair.queue.maxSize(),
                pair.session.features(),
                pair.memory.snapshot(),
                pair.session == DriverSession.LEGACY_BIG_ENDIAN,
                new QueueCounters());
    return new DriverModelPeer() {
      @Override
      public Held take() throws PeerFault {
        DescriptorChain chain = queue.pop();
        if (chain == null) {
          return null;
        }
        byte[] readable = new byte[(int) chain.readableLength()];
        chain.reader().bytes(readable, 0, readable.length);
        return new Held(chain, readable, chain.writableLength());
      }

      @Override
      public void put(Held held, byte[] answer) throws PeerFault {
        DescriptorChain chain = (DescriptorChain) held.handle();
        chain.writer().bytes(answer, 0, answer.length);
        queue.push(chain, answer.length);
      }

      @Override
      public boolean publish() {
        return queue.publish();
      }

      @Override
      public boolean enableNotifications() {
        return queue.enableNotifications();
      }

      @Override
      public void disableNotifications() {
        queue.disableNotifications();
      }
    };
  }
}
