package org.iommuemu.probe.iommu;

import java.util.Arrays;
import java.util.Optional;

/** What functions of a kernel answer: success, or one of the error numbers of Xen's public/errno.h. */
public enum Errno {
    /** Success. */
    OK(0),
    /** Operation not permitted. */
    EPERM(1),
    /** No such file or directory. */
    ENOENT(2),
    /** No such process. */
    ESRCH(3),
    /** Interrupted system call. */
    EINTR(4),
    /** I/O error. */
    EIO(5),
    /** No such device or address. */
    ENXIO(6),
    /** Argument list too long. */
    E2BIG(7),
    /** Exec format error. */
    ENOEXEC(8),
    /** Bad file number; of a probe: the node is not an IOMMU. */
    EBADF(9),
    /** No child processes. */
    ECHILD(10),
    /** Try again; of a probe: deferred. */
    EAGAIN(11),
    /** Out of memory. */
    ENOMEM(12),
    /** Permission denied. */
    EACCES(13),
    /** Bad address. */
    EFAULT(14),
    /** Device or resource busy. */
    EBUSY(16),
    /** File exists. */
    EEXIST(17),
    /** Cross-device link. */
    EXDEV(18),
    /** No such device; of a probe: the IOMMU is not present or cannot be used. */
    ENODEV(19),
    /** Not a directory. */
    ENOTDIR(20),
    /** Is a directory. */
    EISDIR(21),
    /** Invalid argument. */
    EINVAL(22),
    /** File table overflow. */
    ENFILE(23),
    /** Too many open files. */
    EMFILE(24),
    /** No space left on device. */
    ENOSPC(28),
    /** Read-only file system. */
    EROFS(30),
    /** Too many links. */
    EMLINK(31),
    /** Argument out of domain. */
    EDOM(33),
    /** Result not representable. */
    ERANGE(34),
    /** Resource deadlock would occur. */
    EDEADLK(35),
    /** File name too long. */
    ENAMETOOLONG(36),
    /** No record locks available. */
    ENOLCK(37),
    /** Function not implemented. */
    ENOSYS(38),
    /** Directory not empty. */
    ENOTEMPTY(39),
    /** No data available. */
    ENODATA(61),
    /** Timer expired. */
    ETIME(62),
    /** Not a data message. */
    EBADMSG(74),
    /** Value too large for defined data type. */
    EOVERFLOW(75),
    /** Illegal byte sequence. */
    EILSEQ(84),
    /** Interrupted, should be restarted. */
    ERESTART(85),
    /** Operation not supported. */
    EOPNOTSUPP(95),
    /** Address already in use. */
    EADDRINUSE(98),
    /** Address not available. */
    EADDRNOTAVAIL(99),
    /** No buffer space available. */
    ENOBUFS(105),
    /** Transport endpoint is already connected. */
    EISCONN(106),
    /** Transport endpoint is not connected. */
    ENOTCONN(107),
    /** Connection timed out. */
    ETIMEDOUT(110);

    private final int number;

    Errno(int number) {
        this.number = number;
    }

    /** The positive number; 0 for success. */
    public int number() {
        return number;
    }

    /** The error of a name, "EAGAIN" for instance; success has none. */
    public static Optional<Errno> byName(String name) {
        return Arrays.stream(values())
                .filter(e -> e != OK && e.name().equals(name))
                .findFirst();
    }

    /** The error of a positive number, or success of 0; empty if there is none. */
    public static Optional<Errno> byNumber(int number) {
        return Arrays.stream(values()).filter(e -> e.number == number).findFirst();
    }
}
