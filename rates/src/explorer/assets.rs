//! Scripts, style and icon of the pages, compiled into the binary. Names contain a hash of the content, so a new version
//! of a file has a new name.

use std::sync::LazyLock;

use chassis::compression::CompressibleBody;

use crate::lanes::query::Fingerprint;

/// A file of the page.
pub(crate) struct Asset {
    name: String,
    pub(crate) media_type: &'static str,
    pub(crate) content: CompressibleBody,
}

/// The files of the page.
pub(crate) struct Assets {
    script: Asset,
    reference_script: Asset,
    upload_script: Asset,
    style: Asset,
    icon: Asset,
}

pub(crate) static ASSETS: LazyLock<Assets> = LazyLock::new(|| Assets {
    script: Asset::new("explorer", "js", "text/javascript", include_bytes!("../../assets/explorer.js")),
    reference_script: Asset::new(
        "reference",
        "js",
        "text/javascript",
        include_bytes!("../../assets/reference.js"),
    ),
    upload_script: Asset::new("upload", "js", "text/javascript", include_bytes!("../../assets/upload.js")),
    style: Asset::new("explorer", "css", "text/css", include_bytes!("../../assets/explorer.css")),
    icon: Asset::new("icon", "svg", "image/svg+xml", include_bytes!("../../assets/icon.svg")),
});

impl Asset {
    fn new(name: &str, extension: &str, media_type: &'static str, content: &'static [u8]) -> Self {
        let mut hash = Fingerprint::empty();
        hash.add_bytes(content);
        let hash = hex::encode(hash.hash());
        Self {
            name: format!("{name}.{hash}.{extension}"),
            media_type,
            content: CompressibleBody::from(content),
        }
    }

    fn path(&self) -> String {
        format!("/assets/{}", self.name)
    }
}

impl Assets {
    /// The file of this name.
    pub(crate) fn find(&self, name: &str) -> Option<&Asset> {
        [&self.script, &self.reference_script, &self.upload_script, &self.style, &self.icon]
            .into_iter()
            .find(|asset| asset.name == name)
    }

    pub(crate) fn script(&self) -> String {
        self.script.path()
    }

    pub(crate) fn reference_script(&self) -> String {
        self.reference_script.path()
    }

    pub(crate) fn upload_script(&self) -> String {
        self.upload_script.path()
    }

    pub(crate) fn style(&self) -> String {
        self.style.path()
    }

    pub(crate) fn icon(&self) -> String {
        self.icon.path()
    }
}
