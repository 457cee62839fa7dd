// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vhost;

/**
 * The front-end message types and what each of them must look like: the one table behind decoding,
 * checking and dispatch ("Front-end message types").
 */
public enum VhostUserRequest {
  GET_FEATURES(1, Payload.NONE, 0, 0, -1, true),
  SET_FEATURES(2, Payload.U64, 0, 0, -1, false),
  SET_OWNER(3, Payload.NONE, 0, 0, -1, false),
  RESET_OWNER(4, Payload.NONE, 0, 0, -1, false),
  SET_MEM_TABLE(5, Payload.MEMORY_TABLE, 0, 8, -1, false),
  SET_VRING_NUM(8, Payload.VRING_STATE, 0, 0, -1, false),
  SET_VRING_ADDR(9, Payload.VRING_ADDRESS, 0, 0, -1, false),
  SET_VRING_BASE(10, Payload.VRING_STATE, 0, 0, -1, false),
  GET_VRING_BASE(11, Payload.VRING_STATE, 0, 0, -1, true),
  SET_VRING_KICK(12, Payload.VRING_FD, 0, 1, -1, false),
  SET_VRING_CALL(13, Payload.VRING_FD, 0, 1, -1, false),
  SET_VRING_ERR(14, Payload.VRING_FD, 0, 1, -1, false),
  GET_PROTOCOL_FEATURES(15, Payload.NONE, 0, 0, -1, true),
  SET_PROTOCOL_FEATURES(16, Payload.U64, 0, 0, -1, false),
  // "should be sent only when MQ is set in queried protocol features": queried, not negotiated.
  GET_QUEUE_NUM(17, Payload.NONE, 0, 0, -1, true),
  SET_VRING_ENABLE(18, Payload.VRING_STATE, 0, 0, -1, false),
  SET_BACKEND_REQ_FD(21, Payload.NONE, 1, 1, ProtocolFeatures.BACKEND_REQ, false),
  GET_CONFIG(24, Payload.CONFIG, 0, 0, ProtocolFeatures.CONFIG, true),
  SET_CONFIG(25, Payload.CONFIG, 0, 0, ProtocolFeatures.CONFIG, false),
  RESET_DEVICE(34, Payload.NONE, 0, 0, ProtocolFeatures.RESET_DEVICE, false),
  GET_MAX_MEM_SLOTS(36, Payload.NONE, 0, 0, ProtocolFeatures.CONFIGURE_MEM_SLOTS, true),
  ADD_MEM_REG(37, Payload.MEMORY_REGION, 1, 1, ProtocolFeatures.CONFIGURE_MEM_SLOTS, false),
  // No descriptor belongs here, but some front-ends send one: it is closed unused.
  REM_MEM_REG(38, Payload.MEMORY_REGION, 0, 1, ProtocolFeatures.CONFIGURE_MEM_SLOTS, false),
  SET_STATUS(39, Payload.U64, 0, 0, ProtocolFeatures.STATUS, false),
  GET_STATUS(40, Payload.NONE, 0, 0, ProtocolFeatures.STATUS, true);

  /** The shapes that a payload can have. */
  public enum Payload {
    NONE,
    U64,
    VRING_STATE,
    VRING_ADDRESS,
    VRING_FD,
    MEMORY_TABLE,
    MEMORY_REGION,
    CONFIG
  }

  private final int id;
  private final Payload payload;
  private final int minFds;
  private final int maxFds;
  private final int protocolFeature;
  private final boolean answered;

  VhostUserRequest(
      int id, Payload payload, int minFds, int maxFds, int protocolFeature, boolean answered) {
    this.id = id;
    this.payload = payload;
    this.minFds = minFds;
    this.maxFds = maxFds;
    this.protocolFeature = protocolFeature;
    this.answered = answered;
  }

  /** The number on the wire. */
  public int id() {
    return id;
  }

  /** The shape of the payload. */
  public Payload payload() {
    return payload;
  }

  /** How many descriptors must come along at least. */
  public int minFds() {
    return minFds;
  }

  /** How many descriptors may come along at most. */
  public int maxFds() {
    return maxFds;
  }

  /** The protocol feature that must be negotiated first, or -1. */
  public int protocolFeature() {
    return protocolFeature;
  }

  /** Whether it has a reply of its own, so that REPLY_ACK changes nothing. */
  public boolean isAnswered() {
    return answered;
  }

  /**
   * The shape of the reply's payload. For a request without a reply of its own it is that of an
   * acknowledgement (REPLY_ACK).
   */
  public Payload replyPayload() {
    return answered && payload != Payload.NONE ? payload : Payload.U64;
  }

  /** The request with this number, or null when it is unknown here. */
  public static VhostUserRequest of(int id) {
    for (VhostUserRequest request : values()) {
      if (request.id == id) {
        return request;
      }
    }
    return null;
  }
}
