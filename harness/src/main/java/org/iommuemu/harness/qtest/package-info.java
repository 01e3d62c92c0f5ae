/** QEMU's {@code virt} machine for programs that are written for its qtest protocol. */
package org.iommuemu.harness.qtest;
