// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli.drive;

import io.jvirtio.spec.DeviceType;
import io.jvirtio.spec.DeviceTypeGuess;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.Struct;
import io.jvirtio.vhost.ProtocolFeatures;
import io.jvirtio.vhost.VhostUserFrontEndOptions;
import io.jvirtio.vhost.VhostUserTransport;
import java.io.IOException;
import java.util.List;

/**
 * What a device says of itself before anything is done with it: no feature is accepted, no memory
 * shared, no queue started.
 *
 * @param type the type, as given or inferred; null when neither
 * @param guesses the candidates when the type was not given, the likeliest first
 * @param given whether the user named the type, or its bus tells it
 * @param features what the device offers, with the bits that vhost-user itself uses
 * @param protocolFeatures what the back-end offers beside, as a mask; 0 also where it knows none
 * @param queues how many queues it says that it has; -1 when it does not say
 * @param memorySlots how many memory regions it says that it takes; -1 when it does not say
 * @param config the start of its configuration space; null when it cannot be read
 * @param bus what is only known of a device on a bus; null for one of vhost-user
 */
record Probe(
    DeviceType type,
    List<DeviceTypeGuess.Candidate> guesses,
    boolean given,
    FeatureBits features,
    long protocolFeatures,
    int queues,
    long memorySlots,
    byte[] config,
    BusProbe bus) {
  /** Sizes to try when the device refuses to give as much as its type has. */
  private static final int[] SIZES = {256, 128, 96, 64, 60, 44, 36, 32, 24, 16, 8, 4};

  /** The protocol features that are of use to ask questions; the others would have effects. */
  private static final long PROTOCOL_FEATURES =
      ProtocolFeatures.mask(
          ProtocolFeatures.MQ,
          ProtocolFeatures.REPLY_ACK,
          ProtocolFeatures.CONFIG,
          ProtocolFeatures.CONFIGURE_MEM_SLOTS);

  /** The connection that disturbs a device least. */
  static VhostUserFrontEndOptions quiet(VhostUserFrontEndOptions options) {
    return options.withProtocolFeatures(PROTOCOL_FEATURES);
  }

  /**
   * Asks a device.
   *
   * @param given its type; null to infer it
   */
  static Probe of(VhostUserTransport transport, DeviceType given) throws IOException {
    FeatureBits features = transport.offeredFeatures();
    long protocol = transport.offeredProtocolFeatures();
    int queues = transport.announcedQueues();
    boolean slots = (protocol >>> ProtocolFeatures.CONFIGURE_MEM_SLOTS & 1) != 0;
    boolean readable = transport.configSize() > 0;
    DeviceType type = given;
    List<DeviceTypeGuess.Candidate> guesses = List.of();
    byte[] config = null;
    if (given == null) {
      guesses = DeviceTypeGuess.of(features, queues, readable ? null : new byte[0]);
      type = guesses.isEmpty() ? null : guesses.getFirst().type();
    }
    if (readable) {
      config = read(transport, extent(type, features));
      if (given == null) {
        guesses = DeviceTypeGuess.of(features, queues, config);
        DeviceType better = guesses.isEmpty() ? null : guesses.getFirst().type();
        if (better != type) {
          type = better;
          config = longer(config, read(transport, extent(type, features)));
        }
      }
    }
    return new Probe(
        type,
        guesses,
        given != null,
        features,
        protocol,
        queues,
        slots ? transport.memorySlots() : -1,
        config,
        null);
  }

  private static byte[] longer(byte[] one, byte[] other) {
    return one != null && (other == null || one.length >= other.length) ? one : other;
  }

  /** Up to where the configuration has fields that are there. */
  static int extent(DeviceType type, FeatureBits features) {
    int end = 0;
    if (type != null) {
      for (Struct.Field field : type.config().fields()) {
        if (field.existsWith(features) && !field.isPadding()) {
          end = Math.max(end, field.offset() + field.size());
        }
      }
    }
    return end;
  }

  /** Some devices refuse to give more than they have. Null when they give nothing. */
  private static byte[] read(VhostUserTransport transport, int wanted) throws IOException {
    byte[] bytes = wanted == 0 ? null : tryRead(transport, wanted);
    for (int i = 0; i < SIZES.length && bytes == null; i++) {
      if (wanted == 0 || SIZES[i] < wanted) {
        bytes = tryRead(transport, SIZES[i]);
      }
    }
    return bytes;
  }

  private static byte[] tryRead(VhostUserTransport transport, int size) throws IOException {
    byte[] bytes = new byte[size];
    try {
      transport.readConfig(0, bytes);
      return bytes;
    } catch (IOException refused) {
      // Throws when the connection has failed, and not only this request.
      transport.deviceFeatures();
      return null;
    }
  }

  /** Whether the device is most probably of another type than this. */
  boolean isSurelyNot(DeviceType wanted) {
    return !guesses.isEmpty()
        && type != wanted
        && guesses.getFirst().confidence() == DeviceTypeGuess.Confidence.HIGH;
  }
}
