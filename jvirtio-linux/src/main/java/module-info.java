// SPDX-License-Identifier: Apache-2.0

/**
 * Linux system calls. The one module that is granted native access: {@code
 * --enable-native-access=io.jvirtio.linux}.
 */
module io.jvirtio.linux {
  requires transitive io.jvirtio.core;

  exports io.jvirtio.linux;

  provides io.jvirtio.raw.AddressSpace with
      io.jvirtio.linux.ProcessAddressSpace;
}
