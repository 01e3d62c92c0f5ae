/* In place of what Xen's build generates; it is for assembler files. */
