// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.trace;

import io.jvirtio.memory.PeerFault;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.FeatureNames;

/**
 * Emits the flight recorder events. Each call costs one check of a flag while nobody records;
 * nothing is allocated then. Thread-safe.
 */
public final class Trace {
  // An instance answers isEnabled() without an allocation.
  private static final ChainEvent CHAIN = new ChainEvent();
  private static final RequestEvent REQUEST = new RequestEvent();
  private static final NotificationEvent NOTIFICATION = new NotificationEvent();

  private Trace() {}

  /** Features were negotiated. */
  public static void negotiation(int deviceId, FeatureBits offered, FeatureBits negotiated) {
    NegotiationEvent event = new NegotiationEvent();
    if (event.isEnabled()) {
      event.deviceId = deviceId;
      event.offered = String.join(" ", FeatureNames.of(deviceId, offered));
      event.negotiated = String.join(" ", FeatureNames.of(deviceId, negotiated));
      event.commit();
    }
  }

  /** A chain was popped. */
  public static void chain(int queue, int head, int segments, long readable, long writable) {
    if (CHAIN.isEnabled()) {
      ChainEvent event = new ChainEvent();
      event.queue = queue;
      event.head = head;
      event.segments = segments;
      event.readable = readable;
      event.writable = writable;
      event.commit();
    }
  }

  /** Whether {@link #request} is recorded: for callers that must measure time for it. */
  public static boolean requestsEnabled() {
    return REQUEST.isEnabled();
  }

  /** A device finished a request. */
  public static void request(int queue, String type, long bytes, int status, long nanos) {
    if (REQUEST.isEnabled()) {
      RequestEvent event = new RequestEvent();
      event.queue = queue;
      event.type = type;
      event.bytes = bytes;
      event.status = status;
      event.nanos = nanos;
      event.commit();
    }
  }

  /** A batch of used buffers was published. */
  public static void notification(int queue, int buffers, boolean sent) {
    if (NOTIFICATION.isEnabled()) {
      NotificationEvent event = new NotificationEvent();
      event.queue = queue;
      event.buffers = buffers;
      event.sent = sent;
      event.commit();
    }
  }

  /** A fault. */
  public static void fault(int deviceId, int queue, PeerFault fault) {
    FaultEvent event = new FaultEvent();
    if (event.isEnabled()) {
      event.deviceId = deviceId;
      event.queue = queue;
      event.reason = fault.reason().name();
      event.detail = fault.detail();
      event.commit();
    }
  }
}
