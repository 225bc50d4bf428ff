import CLinux

/// Every ioctl that this module makes. (include/uapi/linux/iommufd.h)
package enum IOMMUFD {
    /// Ends an object.
    package static let destroy = KernelCall<clinux_iommu_destroy>(
        "IOMMU_DESTROY", 0x3b80, since: .init(6, 2), last: \.id)
    /// A new IOAS.
    package static let ioasAlloc = KernelCall<clinux_iommu_ioas_alloc>(
        "IOMMU_IOAS_ALLOC", 0x3b81, since: .init(6, 2), last: \.out_ioas_id)
    /// Where IOVAs are chosen.
    package static let ioasAllowIOVAs = KernelCall<clinux_iommu_ioas_allow_iovas>(
        "IOMMU_IOAS_ALLOW_IOVAS", 0x3b82, since: .init(6, 2), last: \.allowed_iovas)
    /// Maps what another IOAS maps.
    package static let ioasCopy = KernelCall<clinux_iommu_ioas_copy>(
        "IOMMU_IOAS_COPY", 0x3b83, since: .init(6, 2), last: \.src_iova)
    /// What can be mapped.
    package static let ioasIOVARanges = KernelCall<clinux_iommu_ioas_iova_ranges>(
        "IOMMU_IOAS_IOVA_RANGES", 0x3b84, since: .init(6, 2), last: \.out_iova_alignment)
    /// Maps memory of this process.
    package static let ioasMap = KernelCall<clinux_iommu_ioas_map>(
        "IOMMU_IOAS_MAP", 0x3b85, since: .init(6, 2), last: \.iova)
    /// Ends mappings.
    package static let ioasUnmap = KernelCall<clinux_iommu_ioas_unmap>(
        "IOMMU_IOAS_UNMAP", 0x3b86, since: .init(6, 2), last: \.length)
    /// Huge pages, and who pinned memory counts for.
    package static let option = KernelCall<clinux_iommu_option>(
        "IOMMU_OPTION", 0x3b87, since: .init(6, 2), last: \.val64)
    /// A new hardware page table.
    package static let hwptAlloc = KernelCall<clinux_iommu_hwpt_alloc>(
        "IOMMU_HWPT_ALLOC", 0x3b89, since: .init(6, 6), last: \.reserved2)
    /// What the IOMMU of a device can do.
    package static let getHWInfo = KernelCall<clinux_iommu_hw_info>(
        "IOMMU_GET_HW_INFO", 0x3b8a, since: .init(6, 6), last: \.out_capabilities)
    /// Begins or ends dirty tracking.
    package static let hwptSetDirtyTracking = KernelCall<clinux_iommu_hwpt_set_dirty_tracking>(
        "IOMMU_HWPT_SET_DIRTY_TRACKING", 0x3b8b, since: .init(6, 7), last: \.reserved)
    /// Which pages are dirty.
    package static let hwptGetDirtyBitmap = KernelCall<clinux_iommu_hwpt_get_dirty_bitmap>(
        "IOMMU_HWPT_GET_DIRTY_BITMAP", 0x3b8c, since: .init(6, 7), last: \.data)
    /// A guest's invalidations.
    package static let hwptInvalidate = KernelCall<clinux_iommu_hwpt_invalidate>(
        "IOMMU_HWPT_INVALIDATE", 0x3b8d, since: .init(6, 8), last: \.reserved)
    /// A new fault queue.
    package static let faultQueueAlloc = KernelCall<clinux_iommu_fault_alloc>(
        "IOMMU_FAULT_QUEUE_ALLOC", 0x3b8e, since: .init(6, 11), last: \.out_fault_fd)
    /// Maps a file.
    package static let ioasMapFile = KernelCall<clinux_iommu_ioas_map_file>(
        "IOMMU_IOAS_MAP_FILE", 0x3b8f, since: .init(6, 13), last: \.iova)
    /// A new slice of an IOMMU.
    package static let viommuAlloc = KernelCall<clinux_iommu_viommu_alloc>(
        "IOMMU_VIOMMU_ALLOC", 0x3b90, since: .init(6, 13), last: \.data_uptr)
    /// A guest's device.
    package static let vdeviceAlloc = KernelCall<clinux_iommu_vdevice_alloc>(
        "IOMMU_VDEVICE_ALLOC", 0x3b91, since: .init(6, 13), last: \.virt_id)
    /// Has pinned memory count for this process.
    package static let ioasChangeProcess = KernelCall<clinux_iommu_ioas_change_process>(
        "IOMMU_IOAS_CHANGE_PROCESS", 0x3b92, since: .init(6, 14), last: \.reserved)
    /// A queue of a guest's events.
    package static let veventqAlloc = KernelCall<clinux_iommu_veventq_alloc>(
        "IOMMU_VEVENTQ_ALLOC", 0x3b93, since: .init(6, 15), last: \.reserved)
}

/// Every ioctl that this module makes on a vfio device node. (include/uapi/linux/vfio.h)
package enum VFIO {
    /// Binds a device to an iommufd.
    package static let bind = KernelCall<clinux_vfio_device_bind_iommufd>(
        "VFIO_DEVICE_BIND_IOMMUFD", 0x3b76, since: .init(6, 6), last: \.out_devid)
    /// Attaches a device.
    package static let attach = KernelCall<clinux_vfio_device_attach_iommufd_pt>(
        "VFIO_DEVICE_ATTACH_IOMMUFD_PT", 0x3b77, since: .init(6, 6), last: \.pt_id)
    /// With a PASID; the kernel looks at the structure's size only where the flag is set.
    package static let attachPASID = KernelCall<clinux_vfio_device_attach_iommufd_pt>(
        "VFIO_DEVICE_ATTACH_IOMMUFD_PT with a PASID", 0x3b77, since: .init(6, 15), last: \.pasid)
    /// Detaches a device.
    package static let detach = KernelCall<clinux_vfio_device_detach_iommufd_pt>(
        "VFIO_DEVICE_DETACH_IOMMUFD_PT", 0x3b78, since: .init(6, 6), last: \.flags)
    /// As ``attachPASID``.
    package static let detachPASID = KernelCall<clinux_vfio_device_detach_iommufd_pt>(
        "VFIO_DEVICE_DETACH_IOMMUFD_PT with a PASID", 0x3b78, since: .init(6, 15), last: \.pasid)
}
