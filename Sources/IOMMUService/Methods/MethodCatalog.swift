import JSONRPC

/// Every method of the daemon, declared once.
package enum MethodCatalog {
    /// The version of the contract: `minor` grows with additions, `major` with anything that breaks a client.
    package static let api = (major: UInt32(1), minor: UInt32(0))

    /// The whole table, `rpc.discover` included.
    package static func make() -> MethodTable<Service> {
        var methods = MethodTable<Service>()
        declareDaemonMethods(&methods)
        declareSessionMethods(&methods)
        declareEventMethods(&methods)
        declareMemoryMethods(&methods)
        declareIOASMethods(&methods)
        declareIOASInspectionMethods(&methods)
        declareDeviceMethods(&methods)
        declareExportMethods(&methods)
        declareHWPTMethods(&methods)
        declareFaultMethods(&methods)
        declareViommuMethods(&methods)
        declareAddressSpaceMethods(&methods)
        declareSVAMethods(&methods)
        declareQueueMethods(&methods)
        declareDMAMethods(&methods)
        declareSMMUMethods(&methods)
        declareHotplugMethods(&methods)
        declareVSMMUMethods(&methods)
        methods.declareDiscovery(title: "iommud", version: DaemonVersion.text)
        return methods
    }
}
