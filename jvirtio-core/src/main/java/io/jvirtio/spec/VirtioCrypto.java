// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.spec;

import java.util.List;
import java.util.Map;

/** Constants and structures of the crypto device (virtio 1.4, Device Types / Crypto Device). */
public final class VirtioCrypto {
  public static final int VIRTIO_CRYPTO_F_REVISION_1 = 0;
  public static final int VIRTIO_CRYPTO_F_CIPHER_STATELESS_MODE = 1;
  public static final int VIRTIO_CRYPTO_F_HASH_STATELESS_MODE = 2;
  public static final int VIRTIO_CRYPTO_F_MAC_STATELESS_MODE = 3;
  public static final int VIRTIO_CRYPTO_F_AEAD_STATELESS_MODE = 4;
  public static final int VIRTIO_CRYPTO_F_AKCIPHER_STATELESS_MODE = 5;

  /** In status: the device is ready for requests. */
  public static final int VIRTIO_CRYPTO_S_HW_READY = 1;

  /** Device configuration layout. */
  public static final Struct CONFIG =
      Struct.named("virtio_crypto_config")
          .le32("status")
          .le32("max_dataqueues")
          .le32("crypto_services")
          .le32("cipher_algo_l")
          .le32("cipher_algo_h")
          .le32("hash_algo")
          .le32("mac_algo_l")
          .le32("mac_algo_h")
          .le32("aead_algo")
          .le32("max_cipher_key_len")
          .le32("max_auth_key_len")
          .le32("akcipher_algo")
          .le64("max_size")
          .size(56);

  private static final Map<Integer, String> FEATURE_NAMES =
      Map.ofEntries(
          Map.entry(VIRTIO_CRYPTO_F_REVISION_1, "VIRTIO_CRYPTO_F_REVISION_1"),
          Map.entry(VIRTIO_CRYPTO_F_CIPHER_STATELESS_MODE, "VIRTIO_CRYPTO_F_CIPHER_STATELESS_MODE"),
          Map.entry(VIRTIO_CRYPTO_F_HASH_STATELESS_MODE, "VIRTIO_CRYPTO_F_HASH_STATELESS_MODE"),
          Map.entry(VIRTIO_CRYPTO_F_MAC_STATELESS_MODE, "VIRTIO_CRYPTO_F_MAC_STATELESS_MODE"),
          Map.entry(VIRTIO_CRYPTO_F_AEAD_STATELESS_MODE, "VIRTIO_CRYPTO_F_AEAD_STATELESS_MODE"),
          Map.entry(
              VIRTIO_CRYPTO_F_AKCIPHER_STATELESS_MODE, "VIRTIO_CRYPTO_F_AKCIPHER_STATELESS_MODE"));

  /** Which offered feature needs which other (Feature bit requirements). */
  public static final List<FeatureRequirement> REQUIREMENTS =
      List.of(
          FeatureRequirement.of(VIRTIO_CRYPTO_F_CIPHER_STATELESS_MODE, VIRTIO_CRYPTO_F_REVISION_1),
          FeatureRequirement.of(VIRTIO_CRYPTO_F_HASH_STATELESS_MODE, VIRTIO_CRYPTO_F_REVISION_1),
          FeatureRequirement.of(VIRTIO_CRYPTO_F_MAC_STATELESS_MODE, VIRTIO_CRYPTO_F_REVISION_1),
          FeatureRequirement.of(VIRTIO_CRYPTO_F_AEAD_STATELESS_MODE, VIRTIO_CRYPTO_F_REVISION_1),
          FeatureRequirement.of(
              VIRTIO_CRYPTO_F_AKCIPHER_STATELESS_MODE, VIRTIO_CRYPTO_F_REVISION_1));

  private VirtioCrypto() {}

  /** The specification's name of a feature bit of this device type, or null. */
  public static String featureName(int bit) {
    return FEATURE_NAMES.get(bit);
  }
}
