use super::*;
use wengert_autograd::{DType, Param};

/// The data of a page, back from its script element.
fn data(page: &str) -> &str {
    let (_, rest) = page.split_once("<script type=\"application/json\" id=\"data\">").expect("a page has data");
    rest.split_once("</script>").expect("the element ends").0
}

#[test]
fn nothing_leaves_its_place() {
    let nasty = "</script><script>alert(1)</script> \"q\" 'a' \\ & <!-- ∂🙂\u{2028}\u{1}@@data@@@@script@@\n";
    let mut report = Report::new(nasty);
    report.config(nasty, nasty);
    report.log(0, &[(nasty, 1.0)]).unwrap();
    report.flow(0, nasty, &[1.0]);
    report.gate(0, nasty, &Tensor::full([2], 0.5, DType::F32));
    let page = report.html();
    assert_eq!(page.matches("</script").count(), 2, "only the page's own scripts end");
    assert_eq!(page.matches("<script").count(), 2, "only the page's own scripts begin");
    assert!(!data(&page).contains('<'));
    assert!(page.contains("<title>&lt;/script>&lt;script>alert(1)"));
    assert!(
        data(&page).contains("\\u003c/script>") && data(&page).contains("\\\"q\\\"") && data(&page).contains("∂🙂")
    );
    assert!(data(&page).contains("\\u0001@@data@@@@script@@\\n"), "what was put in is text");
    assert!(!page.contains("src=") && !page.contains("href=") && !page.contains("@import"));
}

#[test]
fn an_empty_run_is_a_page() {
    let report = Report::new("nothing");
    let page = report.html();
    for list in ["\"charts\":[]", "\"flow\":[]", "\"gates\":[]", "\"equations\":[]", "\"strange\":[]"] {
        assert!(data(&page).contains(list), "{list}");
    }
    for name in ["command line", "compiler", "instruction set", "threads"] {
        assert!(data(&page).contains(&format!("[\"{name}\",")), "{name}");
    }
    assert!(data(&page).contains("[\"compiler\",\"rustc 1."), "{page}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/report.html");
    report.save(&path).unwrap();
    report.save(&path).unwrap();
    assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    std::fs::create_dir(folder.path().join("a.html")).unwrap();
    let error = report.save(folder.path().join("a.html")).unwrap_err().to_string();
    assert!(error.contains("a.html: "), "{error}");
    assert!(!folder.path().join("a.html.new").exists());
}

/// The page that is written beside the place is a device without space.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_keeps_the_page_that_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.html");
    Report::new("before").save(&path).unwrap();
    std::os::unix::fs::symlink("/dev/full", folder.path().join("report.html.new")).unwrap();
    let error = Report::new("after").save(&path).unwrap_err().to_string();
    assert!(error.contains("report.html: No space left on device"), "{error}");
    assert!(std::fs::read_to_string(&path).unwrap().contains("before"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn strange_values_are_gaps_and_listed() {
    let mut report = Report::new("strange");
    for (step, loss) in [1.0, f64::NAN, f64::INFINITY, 0.5].into_iter().enumerate() {
        report.log(step as u64, &[("loss/train", loss), ("lr", 0.1)]).unwrap();
    }
    report.flow(2, "h", &[1.0, f64::NEG_INFINITY, 0.0]);
    let page = report.html();
    let data = data(&page);
    assert!(data.contains("\"points\":[[0,1.00000e0],[1],[2],[3,5.00000e-1]]"), "{data}");
    assert!(data.contains("\"columns\":[[1.00000e0,null,0]]"), "{data}");
    let wanted = "\"strange\":[{\"name\":\"loss/train\",\"count\":2,\"first\":[[1,\"NaN\"],[2,\"inf\"]]},\
                  {\"name\":\"∂L/∂h\",\"count\":1,\"first\":[[2,\"-inf\"]]}]";
    assert!(data.contains(wanted), "{data}");
}

#[test]
fn a_long_run_is_a_small_file() {
    let mut report = Report::new("long");
    for step in 0..50_000 {
        report.log(step, &[("loss", 1.0 / (step + 1) as f64), ("accuracy", (step as f64).sin())]).unwrap();
        if step % 10 == 0 {
            report.flow(step, "h", &vec![step as f64; 500]);
            report.gate(step, "f", &Tensor::full([3], 0.2, DType::F32));
        }
    }
    let page = report.html();
    assert!(page.len() < 500_000, "{} bytes", page.len());
    assert!(page.contains("\"every\":64,\"perRow\":5"));
}

#[test]
fn charts_and_update_ratios() {
    let param = Param::new(Tensor::from_slice(&[3.0f64, 4.0], [2]).unwrap());
    let mut report = Report::new("updates");
    report.config("lr", 1).config("lr", 2);
    let before = vec![param.value()];
    param.set(Tensor::from_slice(&[3.0f64, 4.5], [2]).unwrap()).unwrap();
    report.updates(0, &vec![param.clone()], &before);
    report.updates(1, &vec![param], &[Tensor::zeros([2], DType::F64)]);
    report.log(0, &[("loss/train", 1.0), ("loss/test", 2.0)]).unwrap();
    let page = report.html();
    let data = data(&page);
    // 0.5 / 5; then a parameter that was 0.
    assert!(
        data.contains(
            "{\"title\":\"update ratio\",\"curves\":[{\"name\":\"0\",\"per\":1,\"points\":[[0,1.00000e-1],[1]]}]}"
        ),
        "{data}"
    );
    assert!(
        data.contains("{\"title\":\"loss\",\"curves\":[{\"name\":\"train\",") && data.contains("},{\"name\":\"test\","),
        "{data}"
    );
    assert!(data.contains("\"settings\":[[\"lr\",\"2\"]]"), "{data}");
}
