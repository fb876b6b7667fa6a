package frontend
import ("testing";"os";"fmt";"flagc/internal/diag";"flagc/ir/ops")
func TestX(t *testing.T){
 b,_:=os.ReadFile("testdata/tiny.flag")
 cb,_:=os.ReadFile("testdata/tiny.json")
 src,cfg:=Source{"tiny.flag",string(b)},Source{"tiny.json",string(cb)}
 m,err:=Elaborate(src,cfg,ops.All)
 if err!=nil { fmt.Println(diag.RenderAll(err, diag.Sources{"tiny.flag":string(b),"tiny.json":string(cb)})); return}
 fmt.Println(m.String())
}
